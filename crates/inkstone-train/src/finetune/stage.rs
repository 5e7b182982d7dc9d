//! The `finetune` stage.

use std::collections::{BTreeMap, BTreeSet};

use inkstone_corpus::Split;
use inkstone_corpus::examples::{Answer, Example, read_examples};
use inkstone_models::{Kind, Model, ModelTable, Vocabulary, task_config};
use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError, Upstream};
use inkstone_tokenizer::Tokenizer;
use serde_json::Value;

use super::data::{Encoded, Encoder, Examples};
use super::evaluation::evaluate;
use super::objective::Tuned;
use super::task::TaskTable;
use crate::config::training_stage_config;
use crate::objective::Objective;
use crate::objective::table::{form_of, framing};
use crate::peft::Tuning;
use crate::preference::data::order;
use crate::stage::finish;
use crate::trainer::{Run, train};
use crate::{TrainError, probe};

training_stage_config! {
    /// The `finetune` table of a recipe.
    FinetuneConfig {
        /// The stage whose model is tuned; or give `model` and `tokenizer`, to train one from nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base: Option<String>,
        /// Architecture and shape of a model from nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<ModelTable>,
        /// The `tokenizer` stage of a model from nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tokenizer: Option<String>,
        /// The `examples` stage to learn from.
        examples: String,
        /// The `examples` stage to measure on, both of its splits. Default: the validation split of `examples`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        evaluation: Option<String>,
        /// Examples to learn from at most, drawn evenly. Default: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<usize>,
        /// What is asked.
        task: TaskTable,
        /// The weight of the loss of the next token of the texts themselves beside that of the task, for decoders whose head is the
        /// embedding (Radford et al. 2018, section 3.2, where it is 0.5). Default 0.
        #[serde(default, skip_serializing_if = "is_zero")]
        auxiliary: f64,
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(weight: &f64) -> bool {
    *weight == 0.0
}

/// The `finetune` stage.
#[derive(Debug, Clone, Copy)]
pub struct FinetuneStage;

impl Stage for FinetuneStage {
    type Config = FinetuneConfig;
    const KIND: &'static str = "finetune";
    const VERSION: u32 = 2;
    const SUMMARY: &'static str = "tunes a model on examples of a task";

    fn validate(config: &FinetuneConfig) -> Result<(), String> {
        config.training().validate()?;
        if !(0.0..1e3).contains(&config.auxiliary) {
            return Err(format!("`auxiliary` is {}, expected 0 or more", config.auxiliary));
        }
        match (&config.base, &config.model, &config.tokenizer) {
            (Some(_), None, None) => Ok(()),
            (None, Some(model), Some(_)) => {
                config.task.check(model.kind()).and_then(|()| model.validate(config.context))
            }
            _ => Err("expected `base`, or `model` and `tokenizer`".into()),
        }
    }

    fn inputs(config: &FinetuneConfig) -> Vec<Input> {
        let examples = |field, stage: &String| Input { field, stage: stage.clone(), kinds: &["examples"] };
        let base = config.base.iter().map(|stage| Input { field: "base", stage: stage.clone(), kinds: crate::MODELS });
        let tokenizer = config.tokenizer.iter();
        let tokenizer =
            tokenizer.map(|stage| Input { field: "tokenizer", stage: stage.clone(), kinds: &["tokenizer"] });
        let evaluation = config.evaluation.iter().map(|stage| examples("evaluation", stage));
        let mut inputs: Vec<Input> = base.chain(tokenizer).collect();
        inputs.push(examples("examples", &config.examples));
        inputs.extend(evaluation);
        inputs
    }

    fn estimate(config: &FinetuneConfig, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate {
        let drawn = config.model.as_ref().map(|table| {
            let size = probe::forecast(inputs, "tokenizer", "vocab_size").unwrap_or(4096.0) as usize;
            table.config_json(Vocabulary { size, bos: None, eos: None, pad: None }, config.context)
        });
        let Some(shape) = drawn.or_else(|| probe::forecast_model(inputs.get("base"))) else {
            return Estimate::default();
        };
        probe::estimate(&shape, &config.training(), inputs, machine)
    }

    fn foresee(config: &FinetuneConfig, upstream: &Upstream<'_>) -> Result<(), StageError> {
        crate::sft::foresee_context(config.context, upstream)
    }

    fn run(config: &FinetuneConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let training = config.training();
        let home = &context.input(if config.base.is_some() { "base" } else { "tokenizer" }).folder;
        let tokenizer = Tokenizer::load(home).map_err(TrainError::from)?;
        let [learnt, held_out] = read(config, context)?;
        let labels = labels(&learnt, &config.task);
        let model = model(config, &labels, &tokenizer, context)?;
        crate::sft::fits(config.context, model.context())?;
        if matches!(config.task, TaskTable::Dictionary {}) && !model.reads_dictionaries() {
            return Err(StageError::failed(
                "the model reads no dictionaries",
                "tune a `cpmbee`, or set another `task`",
            ));
        }
        let names: BTreeMap<String, i32> = labels.iter().cloned().zip(0..).collect();
        let encoder = Encoder {
            task: &config.task,
            tokenizer: &tokenizer,
            kind: model.kind(),
            form: if model.kind() == Kind::Encoder { ENCODER } else { form_of(&model) },
            marks: framing(&tokenizer)?,
            start: tokenizer.bos(),
            context: config.context,
            labels: &names,
        };
        let mut learnt = encoded(&learnt, &encoder, config, context)?;
        let mut held_out = encoded(&held_out, &encoder, config, context)?;
        if learnt.examples.is_empty() {
            let hint = "see the keys of `fields`, or raise `context`";
            return Err(StageError::failed("no example can be learnt from", hint));
        }
        check_auxiliary(config, &model)?;
        let tuned = Tuned { task: &config.task, auxiliary: config.auxiliary };
        let run = Run {
            training: &training,
            objective: &tuned as &dyn Objective<_>,
            tokenizer: &tokenizer,
            tokens_per_byte: None,
            context,
        };
        let some = (!held_out.examples.is_empty()).then_some(&mut held_out);
        let trained = train(model, (&mut learnt, some), &run)?;
        let mut metrics = finish(&trained, &run, (home, &Tuning::Full))?;
        metrics.insert("examples".into(), learnt.examples.len().into());
        evaluate(&tuned, &trained.model, &mut held_out, &mut metrics);
        Ok(metrics)
    }
}

/// Refuses the loss of texts where there is no head that says them.
fn check_auxiliary(config: &FinetuneConfig, model: &Model) -> Result<(), StageError> {
    let judges = config.task.head().is_some();
    if config.auxiliary == 0.0 || (judges && model.kind() == Kind::Decoder && model.says_by_embedding()) {
        return Ok(());
    }
    let hint = "set `auxiliary` for a label or a choice by a decoder with `tie_word_embeddings = true`, such as gpt2, or leave it out";
    Err(StageError::failed(
        "`auxiliary` is the loss of a head that this model does not have beside that of the task",
        hint,
    ))
}

/// The form of rows that an encoder reads both ways: as those of an encoder-decoder, it sees where they end.
const ENCODER: crate::objective::pairs::Form = crate::objective::pairs::Form::EncoderDecoder { start: 0 };

/// The examples to learn from, and those to measure on.
fn read(config: &FinetuneConfig, context: &Context<'_>) -> Result<[Vec<Example>; 2], TrainError> {
    let split = |field: &str, split| -> Result<Vec<Example>, TrainError> {
        Ok(read_examples(&context.input(field).folder, split)?.collect::<Result<_, _>>()?)
    };
    let mut learnt = split("examples", Split::Train)?;
    if let Some(limit) = config.limit {
        let mut kept = order(context.seed, LIMIT, learnt.len());
        kept.truncate(limit);
        kept.sort_unstable();
        learnt = kept.into_iter().map(|n| learnt[n].clone()).collect();
    }
    let held_out = if config.evaluation.is_some() {
        let mut all = split("evaluation", Split::Train)?;
        all.extend(split("evaluation", Split::Validation)?);
        all
    } else {
        split("examples", Split::Validation)?
    };
    Ok([learnt, held_out])
}

/// The purpose of the draw of a limited number of examples: no pass over the data has this number.
const LIMIT: u64 = u64::MAX;

/// The names of all labels, sorted; one without a name where the answer is a number, or none is wanted.
fn labels(examples: &[Example], task: &TaskTable) -> Vec<String> {
    let mut names = BTreeSet::new();
    match task {
        TaskTable::Classification { .. } => names.extend(examples.iter().map(|example| example.task.answer.words())),
        TaskTable::Tagging {} => {
            for example in examples {
                if let Answer::Tags(tags) = &example.task.answer {
                    names.extend(tags.iter().cloned());
                }
            }
        }
        _ => return vec!["LABEL_0".to_owned()],
    }
    names.into_iter().collect()
}

/// The model with the head of the task.
fn model(
    config: &FinetuneConfig,
    labels: &[String],
    tokenizer: &Tokenizer,
    context: &Context<'_>,
) -> Result<Model, StageError> {
    let headed =
        |shape: &Value| config.task.head().map_or_else(|| shape.clone(), |head| task_config(shape, head, labels));
    let how = (config.precision.into(), &inkstone_nn::training_device());
    let Some(table) = &config.model else {
        let folder = &context.input("base").folder;
        let shape = probe::config_json(folder).map_err(TrainError::from)?;
        let kind = inkstone_models::kind(&shape).map_err(TrainError::from)?;
        config
            .task
            .check(kind)
            .map_err(|message| StageError::failed(message, "tune another model, or set another `task`"))?;
        let (model, [drawn, unused]) =
            Model::load_for(folder, &headed(&shape), context.seed, how).map_err(TrainError::from)?;
        for (names, what) in [(drawn, "begins with drawn numbers"), (unused, "is not used")] {
            if !names.is_empty() {
                context.progress.say(&format!("{what}: {}", names.join(", ")));
            }
        }
        return Ok(model);
    };
    let vocabulary =
        Vocabulary { size: tokenizer.vocab_size(), bos: tokenizer.bos(), eos: tokenizer.eos(), pad: tokenizer.pad() };
    let shape = headed(&table.config_json(vocabulary, config.context));
    Ok(Model::init(&shape, context.seed, how.0, how.1).map_err(TrainError::from)?)
}

fn encoded(
    examples: &[Example],
    encoder: &Encoder<'_>,
    config: &FinetuneConfig,
    context: &Context<'_>,
) -> Result<Examples, TrainError> {
    let all: Vec<Option<Encoded>> = examples.iter().map(|example| encoder.encode(example)).collect::<Result<_, _>>()?;
    let rows = all.iter().flatten().map(Encoded::n_rows).max().unwrap_or(0);
    let fitting: Vec<Encoded> = all.into_iter().flatten().filter(|example| example.n_rows() == rows).collect();
    let out = examples.len() - fitting.len();
    if out > 0 {
        let why = "no such answer, or it lies beyond the context, or another number of choices";
        context.progress.warn(&format!("{out} of {} examples are left out: {why}", examples.len()));
    }
    let pad = encoder.marks.pad;
    Ok(Examples::new(fitting, (config.batch_size, context.seed), (pad, encoder.form)))
}
