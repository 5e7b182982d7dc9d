//! The `preference` stage: a model that learns from pairs of answers.

use std::collections::BTreeMap;

use inkstone_corpus::Split;
use inkstone_models::Model;
use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError, Upstream};
use inkstone_tokenizer::Tokenizer;

use super::data::{Pair, Pairs, Reading};
use super::loss::LossTable;
use super::objective::{Preferred, refer};
use crate::config::training_stage_config;
use crate::objective::Objective;
use crate::peft::{PeftTable, Tuning};
use crate::stage::finish;
use crate::trainer::{Run, train};
use crate::{TrainError, probe};

training_stage_config! {
    /// The `preference` table of a recipe.
    PreferenceConfig {
        /// The stage whose model is tuned; it is the reference, too.
        base: String,
        /// The stage with the preferences.
        preferences: String,
        /// What is minimised.
        loss: LossTable,
        /// Trains an adapter or a part of the weights instead of all. Default: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peft: Option<PeftTable>,
    }
}

/// The `preference` stage.
#[derive(Debug, Clone, Copy)]
pub struct PreferenceStage;

impl Stage for PreferenceStage {
    type Config = PreferenceConfig;
    const KIND: &'static str = "preference";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "tunes a model on preferences among answers (DPO, IPO, KTO, ORPO, SimPO)";

    fn validate(config: &PreferenceConfig) -> Result<(), String> {
        config.peft.as_ref().map_or(Ok(()), PeftTable::validate)?;
        config.loss.validate()?;
        config.training().validate()
    }

    fn inputs(config: &PreferenceConfig) -> Vec<Input> {
        vec![
            Input { field: "base", stage: config.base.clone(), kinds: crate::MODELS },
            Input { field: "preferences", stage: config.preferences.clone(), kinds: &["preferences", "feedback"] },
        ]
    }

    fn estimate(config: &PreferenceConfig, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate {
        let Some(shape) = probe::forecast_model(inputs.get("base")) else { return Estimate::default() };
        // A pair is two rows.
        let mut training = config.training();
        training.batch_size *= 2;
        probe::estimate(&shape, &training, inputs, machine)
    }

    fn foresee(config: &PreferenceConfig, upstream: &Upstream<'_>) -> Result<(), StageError> {
        crate::sft::foresee_context(config.context, upstream)
    }

    fn run(config: &PreferenceConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let training = config.training();
        let base = &context.input("base").folder;
        let tokenizer = Tokenizer::load(base).map_err(TrainError::from)?;
        let pad = tokenizer.pad().unwrap_or(0);
        let reading = Reading {
            batch_size: config.batch_size,
            context: config.context,
            seed: context.seed,
            paired: config.loss.loss().is_paired(),
        };
        let read = |split| Pairs::read(&context.input("preferences").folder, split, &tokenizer, reading);
        let (mut pairs, mut validation) = (read(Split::Train)?, read(Split::Validation)?);
        pairs.check(reading.paired, context)?;
        let tuning = Tuning::of(config.peft.as_ref());
        let device = inkstone_nn::training_device();
        let model = tuning.load(base, (training.precision.into(), &device), context.seed)?;
        crate::sft::fits(config.context, model.context())?;
        if config.loss.loss().has_reference() {
            let reference =
                Model::load(base, training.precision.into(), &inkstone_nn::device()).map_err(TrainError::from)?;
            refer(&mut pairs, &reference, pad, context)?;
            refer(&mut validation, &reference, pad, context)?;
        }
        let objective = Preferred::new(&config.loss, pad);
        let run = Run {
            training: &training,
            objective: &objective as &dyn Objective<Vec<Pair>>,
            tokenizer: &tokenizer,
            tokens_per_byte: None,
            context,
        };
        let validation = (!validation.pairs.is_empty()).then_some(&mut validation);
        let trained = train(model, (&mut pairs, validation), &run)?;
        finish(&trained, &run, (base, &tuning))
    }
}
