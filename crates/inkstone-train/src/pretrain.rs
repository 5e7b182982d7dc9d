//! The `pretrain` stage: a model from nothing, by next-token prediction or another objective.

use std::collections::BTreeMap;

use inkstone_corpus::loader::Packing;
use inkstone_models::{Kind, Model, ModelTable, Vocabulary};
use inkstone_recipe::{
    Context, Estimate, Forecast, ImplicitStage, Input, Machine, Metrics, Stage, StageError, Upstream,
};
use inkstone_tokenizer::Tokenizer;

use crate::config::{TrainingConfig, training_stage_config};
use crate::data::Data;
use crate::objective::noised::{Noising, Restore, hits};
use crate::objective::table::ObjectiveTable;
use crate::objective::{Batches, NextToken, Objective};
use crate::peft::Tuning;
use crate::probe;
use crate::stage::{finish, tokens_per_byte};
use crate::trainer::{Run, train};

training_stage_config! {
    /// The `pretrain` table of a recipe.
    PretrainConfig {
        /// The `corpus` stage to learn from.
        corpus: String,
        /// The `tokenizer` stage.
        tokenizer: String,
        /// Architecture and shape.
        model: ModelTable,
        /// A stage whose weights the training begins with, as far as their names are those of `model`. Default: drawn ones.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base: Option<String>,
        /// What it learns to do. Default: to predict the next token.
        #[serde(default, skip_serializing_if = "ObjectiveTable::is_default")]
        objective: ObjectiveTable,
        /// Whether every document ends with the end-of-text token. Default true.
        #[serde(default = "crate::config::yes")]
        append_eos: bool,
    }
}

/// The longest sequence of the model behind the input `field` of a stage, before there is one.
pub fn positions_behind(field: &str, upstream: &Upstream<'_>) -> Option<Positions> {
    let pretrain = upstream.nearest(field, PretrainStage::KIND)?;
    let config: PretrainConfig = serde_json::from_value(pretrain.config.clone()).ok()?;
    Some(Positions { count: config.model.positions(config.context), stage: pretrain.name.to_owned() })
}

/// The longest sequence of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positions {
    /// In tokens.
    pub count: usize,
    /// The stage that fixes it.
    pub stage: String,
}

/// The `pretrain` stage.
#[derive(Debug, Clone, Copy)]
pub struct PretrainStage;

impl Stage for PretrainStage {
    type Config = PretrainConfig;
    const KIND: &'static str = "pretrain";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "trains a model from nothing";

    fn validate(config: &PretrainConfig) -> Result<(), String> {
        config.training().validate()?;
        config.objective.validate(config.model.kind())?;
        if config.model.kind() == Kind::Encoder && !config.sample_prompts.is_empty() {
            return Err("`sample_prompts` are given, but an encoder does not go on from a text".into());
        }
        config.model.validate(config.context)
    }

    fn inputs(config: &PretrainConfig) -> Vec<Input> {
        let base = config.base.iter().map(|stage| Input { field: "base", stage: stage.clone(), kinds: crate::MODELS });
        let mut inputs = vec![
            Input { field: "tokens", stage: ".tokens".into(), kinds: &["tokens"] },
            Input { field: "tokenizer", stage: config.tokenizer.clone(), kinds: &["tokenizer"] },
        ];
        inputs.extend(base);
        inputs
    }

    fn implicit(config: &PretrainConfig) -> Vec<ImplicitStage> {
        let tokens = serde_json::json!({"corpus": config.corpus, "tokenizer": config.tokenizer, "append_eos": config.append_eos});
        vec![ImplicitStage { suffix: "tokens", kind: "tokens", config: tokens }]
    }

    fn estimate(config: &PretrainConfig, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate {
        let vocab_size = probe::forecast(inputs, "tokenizer", "vocab_size").unwrap_or(4096.0) as usize;
        let vocabulary = Vocabulary { size: vocab_size, bos: None, eos: None, pad: None };
        let model = config.model.config_json(vocabulary, config.context);
        probe::estimate(&model, &config.training(), inputs, machine)
    }

    fn run(config: &PretrainConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let training = config.training();
        let folder = &context.input("tokenizer").folder;
        let tokenizer = Tokenizer::load(folder).map_err(crate::TrainError::from)?;
        let vocabulary = Vocabulary {
            size: tokenizer.vocab_size(),
            bos: tokenizer.bos(),
            eos: tokenizer.eos(),
            pad: tokenizer.pad(),
        };
        let model_config = config.model.config_json(vocabulary, config.context);
        let pad_id = tokenizer.pad().unwrap_or(0);
        let mut data = Data::open(&context.input("tokens").folder, &training, Packing::Stream, context.seed, pad_id)?;
        let how = (training.precision.into(), &inkstone_nn::training_device());
        let model = if config.base.is_some() {
            let folder = &context.input("base").folder;
            Model::load_for(folder, &model_config, context.seed, how).map(|(model, _)| model)
        } else {
            Model::init(&model_config, context.seed, how.0, how.1)
        };
        let model = model.map_err(crate::TrainError::from)?;
        let bytes = tokens_per_byte(&context.input("tokens").manifest.metrics);
        let base = (&training, &tokenizer, context);
        match config.objective.noise(&model, &tokenizer)? {
            None => Ok(learn(model, &mut data, (&NextToken, bytes), base)?.1),
            Some(noise) => {
                let mut data = data.map(|loader| Noising { loader, noise: &*noise, seed: context.seed });
                let (model, mut metrics) = learn(model, &mut data, (&Restore, None), base)?;
                if let Some(validation) = &mut data.validation {
                    let [tokens, sentences] = hits(&model, validation);
                    tokens.publish("accuracy", &mut metrics);
                    sentences.publish("sentence_accuracy", &mut metrics);
                }
                Ok(metrics)
            }
        }
    }
}

/// Trains `model` and writes its folder.
fn learn<D: Batches>(
    model: Model,
    data: &mut Data<D>,
    (objective, tokens_per_byte): (&dyn Objective<D::Batch>, Option<f64>),
    (training, tokenizer, context): (&TrainingConfig, &Tokenizer, &Context<'_>),
) -> Result<(Model, Metrics), StageError> {
    let run = Run { training, objective, tokenizer, tokens_per_byte, context };
    let trained = train(model, (&mut data.train, data.validation.as_mut()), &run)?;
    let metrics = finish(&trained, &run, (&context.input("tokenizer").folder, &Tuning::Full))?;
    Ok((trained.model, metrics))
}
