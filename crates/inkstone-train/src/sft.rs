//! The `sft` stage: instruction tuning of a model on conversations.

use std::collections::BTreeMap;

use inkstone_corpus::loader::Packing;
use inkstone_recipe::{
    Context, Estimate, Forecast, ImplicitStage, Input, Machine, Metrics, Stage, StageError, Upstream,
};
use inkstone_tokenizer::Tokenizer;

use crate::TrainError;
use crate::config::training_stage_config;
use crate::data::Data;
use crate::objective::{Instruction, Objective};
use crate::peft::Tuning;
use crate::pretrain::positions_behind;
use crate::probe;
use crate::stage::finish;
use crate::trainer::{Run, train};

training_stage_config! {
    /// The `sft` table of a recipe.
    SftConfig {
        /// The stage whose model is tuned.
        base: String,
        /// The `chat` stage with the conversations.
        chat: String,
        /// Whether the rationale of an answer that has one is learnt, too, or only what comes of it. Default true.
        #[serde(default = "crate::config::yes", skip_serializing_if = "is_yes")]
        loss_on_rationale: bool,
        /// Trains an adapter or a part of the weights instead of all. Default: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peft: Option<crate::peft::PeftTable>,
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_yes(value: &bool) -> bool {
    *value
}

/// The `sft` stage (supervised fine-tuning, arXiv:2203.02155, section 3.4).
#[derive(Debug, Clone, Copy)]
pub struct SftStage;

impl Stage for SftStage {
    type Config = SftConfig;
    const KIND: &'static str = "sft";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "tunes a model on conversations, with the loss on the assistant's tokens";

    fn validate(config: &SftConfig) -> Result<(), String> {
        config.peft.as_ref().map_or(Ok(()), crate::peft::PeftTable::validate)?;
        config.training().validate()
    }

    fn inputs(config: &SftConfig) -> Vec<Input> {
        vec![
            Input { field: "base", stage: config.base.clone(), kinds: crate::MODELS },
            Input { field: "tokens", stage: ".tokens".into(), kinds: &["tokens"] },
        ]
    }

    fn implicit(config: &SftConfig) -> Vec<ImplicitStage> {
        let mut tokens =
            serde_json::json!({"corpus": config.chat, "tokenizer": config.base, "context": config.context});
        if !config.loss_on_rationale {
            tokens["loss_on_rationale"] = false.into();
        }
        vec![ImplicitStage { suffix: "tokens", kind: "tokens", config: tokens }]
    }

    fn estimate(config: &SftConfig, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate {
        let Some(shape) = probe::forecast_model(inputs.get("base")) else { return Estimate::default() };
        probe::estimate(&shape, &config.training(), inputs, machine)
    }

    fn foresee(config: &SftConfig, upstream: &Upstream<'_>) -> Result<(), StageError> {
        foresee_context(config.context, upstream)
    }

    fn run(config: &SftConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let training = config.training();
        let base = &context.input("base").folder;
        let tokenizer = Tokenizer::load(base).map_err(TrainError::from)?;
        let device = inkstone_nn::training_device();
        let tuning = Tuning::of(config.peft.as_ref());
        let model = tuning.load(base, (training.precision.into(), &device), context.seed)?;
        fits(training.context, model.context())?;
        let pad_id = tokenizer.pad().unwrap_or(0);
        let mut data = Data::open(&context.input("tokens").folder, &training, Packing::Whole, context.seed, pad_id)?;
        let run = Run {
            training: &training,
            objective: &Instruction as &dyn Objective,
            tokenizer: &tokenizer,
            tokens_per_byte: None,
            context,
        };
        let trained = train(model, (&mut data.train, data.validation.as_mut()), &run)?;
        finish(&trained, &run, (base, &tuning))
    }
}

/// Whether the model behind `base`, not yet made, will be able to read a row of the training.
pub(crate) fn foresee_context(context: usize, upstream: &Upstream<'_>) -> Result<(), StageError> {
    positions_behind("base", upstream).map_or(Ok(()), |positions| fits(context, positions.count))
}

/// Whether the base model can read a row of the training.
pub(crate) fn fits(context: usize, positions: usize) -> Result<(), StageError> {
    if context <= positions {
        return Ok(());
    }
    let message = format!("`context` is {context}, more than the {positions} positions of the base model");
    Err(StageError::failed(message, format!("set `context` to at most {positions}, or that of the base model to more")))
}
