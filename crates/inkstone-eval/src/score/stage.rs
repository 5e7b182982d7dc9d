//! The stage: which model, which examples, which figures.

use std::collections::{BTreeMap, BTreeSet};

use inkstone_corpus::Split;
use inkstone_corpus::draw::Draw;
use inkstone_corpus::examples::{Example, read_examples};
use inkstone_models::{Kind, Model};
use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError};
use inkstone_tokenizer::Tokenizer;
use inkstone_train::interval::{Share, wilson};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::Asker;
use crate::metrics::{BleuTokens, bleu, chrf_interval, rouge};
use crate::{EvalError, normalise};

/// The `score` table of a recipe.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreConfig {
    /// The stage whose model answers.
    pub model: String,
    /// The `examples` stage whose validation split is answered.
    pub examples: String,
    /// The `examples` stage to measure on instead, both of its splits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<String>,
    /// How the answer is found: `write` it, or `choose` the likeliest of all answers in `examples`. Default `write`.
    #[serde(default)]
    pub answer: Answering,
    /// What stands before each text; that of the tuning. Default: nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// What stands between a text and its answer in a prompt, for a model that was not tuned on the task. Default: nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub between: String,
    /// Examples of the training split that a prompt shows with their answers. Default 0.
    #[serde(default)]
    pub shots: usize,
    /// Examples to answer at most, drawn evenly. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Tokens of an answer at most. Default 64.
    #[serde(default = "default_max_new_tokens")]
    pub max_new_tokens: usize,
    /// Answers that the report shows. Default 20.
    #[serde(default = "default_shown")]
    pub shown: usize,
}

/// How an answer is found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answering {
    /// The model writes it.
    #[default]
    Write,
    /// The likeliest of all is taken.
    Choose,
}

fn default_max_new_tokens() -> usize {
    64
}

fn default_shown() -> usize {
    20
}

/// The `score` stage.
#[derive(Debug, Clone, Copy)]
pub struct ScoreStage;

impl Stage for ScoreStage {
    type Config = ScoreConfig;
    const KIND: &'static str = "score";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "compares a model's answers as text with the right ones (exact, chrF, BLEU, ROUGE)";

    fn inputs(config: &ScoreConfig) -> Vec<Input> {
        let examples = |field, stage: &String| Input { field, stage: stage.clone(), kinds: &["examples"] };
        let mut inputs = vec![Input { field: "model", stage: config.model.clone(), kinds: inkstone_train::MODELS }];
        inputs.push(examples("examples", &config.examples));
        inputs.extend(config.evaluation.iter().map(|stage| examples("evaluation", stage)));
        inputs
    }

    fn estimate(config: &ScoreConfig, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate {
        let metric = |field: &str, name: &str| inputs.get(field).and_then(|input| input.metrics.get(name).copied());
        let n = metric("examples", "validation_examples").unwrap_or(500.0).min(config.limit.unwrap_or(10_000) as f64);
        let parameters = metric("model", "parameters").unwrap_or(3e6);
        let answer = 20.0 * (parameters * 4.0 / machine.bytes_per_second.max(1e9) + 2e-4);
        Estimate { seconds: Some(n * answer), ..Estimate::default() }
    }

    fn run(config: &ScoreConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        Ok(score(config, context)?)
    }
}

/// An example with the answer to it.
#[derive(Debug, Clone, Serialize)]
struct Answered {
    question: String,
    answer: String,
    got: String,
    correct: bool,
}

fn score(config: &ScoreConfig, context: &Context<'_>) -> Result<Metrics, EvalError> {
    let folder = &context.input("model").folder;
    let (tokenizer, model) =
        (Tokenizer::load(folder)?, Model::load(folder, inkstone_nn::Precision::F32, &inkstone_nn::device())?);
    if model.kind() == Kind::Encoder {
        return Err(inkstone_engine::EngineError::NoDecoder.into());
    }
    let learnt = split(context, "examples", Split::Train)?;
    let held_out = limited(held_out(config, context)?, config.limit, context.seed);
    if held_out.is_empty() {
        return Err(EvalError::Empty {
            path: context.input("examples").folder.clone(),
            what: "has no held-out examples",
        });
    }
    let shots = limited(learnt.clone(), Some(config.shots), context.seed);
    let asker = Asker {
        model: &model,
        tokenizer: &tokenizer,
        prefix: &config.prefix,
        between: &config.between,
        shots: &shots,
        max_new_tokens: config.max_new_tokens,
    };
    let answers: BTreeSet<String> = learnt.iter().map(|example| example.task.answer.words()).collect();
    let answers: Vec<String> = answers.into_iter().collect();
    let bar = context.progress.task("answering", Some(held_out.len() as u64), "examples");
    let mut answered = Vec::with_capacity(held_out.len());
    for example in &held_out {
        if context.interrupt.requested() {
            return Err(EvalError::Interrupted);
        }
        let got = match config.answer {
            Answering::Write => asker.write(&example.task)?,
            Answering::Choose => answers[asker.choose(&example.task, &answers)?].clone(),
        };
        let answer = example.task.answer.words();
        let correct = normalise(&got) == normalise(&answer);
        answered.push(Answered { question: example.task.text.clone(), answer, got, correct });
        bar.set(answered.len() as u64);
    }
    publish(&answered, &overlap(&learnt, &held_out), config, context)
}

/// Held-out examples whose text, and whose text and answer, stand in the training split as well.
fn overlap(learnt: &[Example], held_out: &[Example]) -> [usize; 2] {
    let texts: BTreeSet<&str> = learnt.iter().map(|example| example.task.text.as_str()).collect();
    let both: BTreeSet<(&str, String)> =
        learnt.iter().map(|example| (example.task.text.as_str(), example.task.answer.words())).collect();
    let of = |known: &dyn Fn(&Example) -> bool| held_out.iter().filter(|example| known(example)).count();
    [
        of(&|example| texts.contains(example.task.text.as_str())),
        of(&|example| both.contains(&(example.task.text.as_str(), example.task.answer.words()))),
    ]
}

fn split(context: &Context<'_>, field: &str, split: Split) -> Result<Vec<Example>, EvalError> {
    Ok(read_examples(&context.input(field).folder, split)?.collect::<Result<_, _>>()?)
}

fn held_out(config: &ScoreConfig, context: &Context<'_>) -> Result<Vec<Example>, EvalError> {
    if config.evaluation.is_none() {
        return split(context, "examples", Split::Validation);
    }
    let mut all = split(context, "evaluation", Split::Train)?;
    all.extend(split(context, "evaluation", Split::Validation)?);
    Ok(all)
}

/// So many of the examples, drawn evenly, in their order.
fn limited(examples: Vec<Example>, limit: Option<usize>, seed: u64) -> Vec<Example> {
    let Some(limit) = limit else { return examples };
    let mut kept = Draw::new(seed, "limit", 0).order(examples.len());
    kept.truncate(limit);
    kept.sort_unstable();
    kept.into_iter().map(|n| examples[n].clone()).collect()
}

/// `evaluation.json` and `answers.jsonl`, and the figures as metrics.
fn publish(
    answered: &[Answered],
    &[texts, pairs]: &[usize; 2],
    config: &ScoreConfig,
    context: &Context<'_>,
) -> Result<Metrics, EvalError> {
    let beside: Vec<(&str, &str)> = answered.iter().map(|one| (one.got.as_str(), one.answer.as_str())).collect();
    let right = wilson(answered.iter().filter(|one| one.correct).count() as u64, answered.len() as u64);
    let mut metrics = Metrics::new();
    let mut results = vec![add("accuracy", right, answered.len(), &mut metrics)];
    metrics.insert("examples".into(), answered.len().into());
    metrics.insert("texts_in_training".into(), texts.into());
    metrics.insert("examples_in_training".into(), pairs.into());
    if config.answer == Answering::Write {
        results.push(add("chrf", chrf_interval(&beside, context.seed), answered.len(), &mut metrics));
        let words = rouge(&beside);
        let chinese = answered.iter().any(|one| one.answer.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)));
        let tokens = if chinese { BleuTokens::Chinese } else { BleuTokens::Spaced };
        for (name, value) in [
            ("bleu", bleu(&beside, tokens).score / 100.0),
            ("rouge1", words.one),
            ("rouge2", words.two),
            ("rouge_l", words.longest),
        ] {
            metrics.insert(name.into(), value.into());
        }
    }
    let report = json!({"results": results, "examples": answered.iter().take(config.shown).collect::<Vec<_>>()});
    write(context, "evaluation.json", &(serde_json::to_string_pretty(&report).expect("invariant: plain data") + "\n"))?;
    let line = |one: &Answered| serde_json::to_string(one).expect("invariant: plain data") + "\n";
    write(context, "answers.jsonl", &answered.iter().map(line).collect::<String>())?;
    Ok(metrics)
}

fn add(name: &str, share: Share, n: usize, metrics: &mut Metrics) -> Value {
    for (end, value) in [("", share.value), ("_low", share.low), ("_high", share.high)] {
        metrics.insert(format!("{name}{end}"), value.into());
    }
    json!({
        "name": name, "lang": "-", "n": n,
        "accuracy": share.value, "accuracy_low": share.low, "accuracy_high": share.high,
    })
}

fn write(context: &Context<'_>, name: &str, text: &str) -> Result<(), EvalError> {
    let path = context.out().join(name);
    inkstone_recipe::fs::write_atomic(&path, text.as_bytes())
        .map_err(|error| EvalError::File { path, source: std::io::Error::other(error) })
}
