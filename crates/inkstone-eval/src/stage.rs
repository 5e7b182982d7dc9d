//! The `evaluate` stage: questions with known answers, with intervals, beside what chance and the
//! model before tuning would reach.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError, Upstream};
use inkstone_tokenizer::Tokenizer;
use inkstone_train::peft::merged;
use inkstone_train::{Positions, positions_behind};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::EvalError;
use crate::interval::wilson;
use crate::questions::{Answered, Question, ask, chance_hits, prompt, read_questions};

/// The `evaluate` table of a recipe.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateConfig {
    /// The stage whose model is evaluated.
    pub model: String,
    /// The stage whose model it is compared with, e.g. the one before tuning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The `world` stage whose questions are asked.
    pub questions: String,
    /// Questions per language at most. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Tokens of an answer at most. Default 24.
    #[serde(default = "default_max_new_tokens")]
    pub max_new_tokens: usize,
    /// Answers per language that the report shows. Default 20.
    #[serde(default = "default_examples")]
    pub examples: usize,
}

fn default_max_new_tokens() -> usize {
    24
}

fn default_examples() -> usize {
    20
}

/// The `evaluate` stage.
#[derive(Debug, Clone, Copy)]
pub struct EvaluateStage;

impl Stage for EvaluateStage {
    type Config = EvaluateConfig;
    const KIND: &'static str = "evaluate";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "asks questions with known answers";

    fn inputs(config: &EvaluateConfig) -> Vec<Input> {
        let model = |field, stage: &String| Input { field, stage: stage.clone(), kinds: inkstone_train::MODELS };
        let mut inputs = vec![model("model", &config.model)];
        inputs.extend(config.before.as_ref().map(|before| model("before", before)));
        inputs.push(Input { field: "questions", stage: config.questions.clone(), kinds: &["world"] });
        inputs
    }

    fn estimate(config: &EvaluateConfig, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate {
        let metric = |field: &str, name: &str| inputs.get(field).and_then(|input| input.metrics.get(name).copied());
        let models = 1.0 + f64::from(u8::from(config.before.is_some()));
        let questions = metric("questions", "questions").unwrap_or(600.0);
        let parameters = metric("model", "parameters").unwrap_or(3e6);
        // An answer is about ten passes over the weights, bound by memory, and a fixed cost per operation.
        let answer = 10.0 * (parameters * 4.0 / machine.bytes_per_second.max(1e9) + 2e-4);
        Estimate { seconds: Some(models * questions * answer), ..Estimate::default() }
    }

    fn foresee(config: &EvaluateConfig, upstream: &Upstream<'_>) -> Result<(), StageError> {
        Ok(check_lengths(config, upstream)?)
    }

    fn run(config: &EvaluateConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        Ok(evaluate(config, context)?)
    }
}

/// Whether the model that is still to be trained will be able to read every question.
fn check_lengths(config: &EvaluateConfig, upstream: &Upstream<'_>) -> Result<(), EvalError> {
    let made = |field, kind| upstream.nearest(field, kind)?.artifact;
    let (Some(questions), Some(tokenizer), Some(Positions { count: context, stage })) =
        (made("questions", "world"), made("model", "tokenizer"), positions_behind("model", upstream))
    else {
        return Ok(());
    };
    let tokenizer = Tokenizer::load(&tokenizer.folder)?;
    for question in load_questions(&questions.folder, config.limit)? {
        let tokens = prompt(&tokenizer, &question)?.len();
        if tokens >= context {
            return Err(EvalError::QuestionTooLong { id: question.id, tokens, context, stage });
        }
    }
    Ok(())
}

fn evaluate(config: &EvaluateConfig, context: &Context<'_>) -> Result<Metrics, EvalError> {
    let questions = load_questions(&context.input("questions").folder, config.limit)?;
    let mut results = Vec::new();
    let mut metrics = Metrics::new();
    let mut examples = Vec::new();
    for (name, field) in [("before", config.before.as_ref().map(|_| "before")), ("model", Some("model"))] {
        let Some(field) = field else { continue };
        let answered = answer_all((name, &context.input(field).folder), &questions, config, context)?;
        add_results(name, &answered, &mut results, &mut metrics);
        examples = answered;
    }
    add_chance(&questions, context.seed, &mut results, &mut metrics);
    let shown = first_of_each_language(examples.clone(), config.examples);
    let report = json!({"results": results, "examples": shown});
    write(context, "evaluation.json", &(serde_json::to_string_pretty(&report).expect("invariant: plain data") + "\n"))?;
    let lines: String =
        examples.iter().map(|answer| serde_json::to_string(answer).expect("invariant: plain data") + "\n").collect();
    write(context, "answers.jsonl", &lines)?;
    Ok(metrics)
}

fn write(context: &Context<'_>, name: &str, text: &str) -> Result<(), EvalError> {
    let path = context.out().join(name);
    std::fs::write(&path, text).map_err(|source| EvalError::File { path, source })
}

/// The questions of all languages, sorted by file name.
fn load_questions(folder: &Path, limit: Option<usize>) -> Result<Vec<Question>, EvalError> {
    let failed = |source| EvalError::File { path: folder.to_owned(), source };
    let is_questions =
        |name: &str| name.strip_prefix("questions.").is_some_and(|rest| rest.strip_suffix(".jsonl").is_some());
    let names: BTreeSet<String> = std::fs::read_dir(folder)
        .map_err(failed)?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_questions(name))
        .collect();
    let mut questions = Vec::new();
    for name in names {
        questions.extend(read_questions(&folder.join(name))?.into_iter().take(limit.unwrap_or(usize::MAX)));
    }
    if questions.is_empty() {
        return Err(EvalError::Empty { path: folder.to_owned(), what: "has no questions" });
    }
    Ok(questions)
}

fn answer_all(
    (name, folder): (&str, &Path),
    questions: &[Question],
    config: &EvaluateConfig,
    context: &Context<'_>,
) -> Result<Vec<Answered>, EvalError> {
    let tokenizer = Tokenizer::load(folder)?;
    let model = merged(folder, &[], (inkstone_nn::Precision::F32, &inkstone_nn::device()))?;
    let bar = context.progress.task(&format!("answering ({name})"), Some(questions.len() as u64), "questions");
    let mut answered = Vec::with_capacity(questions.len());
    for question in questions {
        if context.interrupt.requested() {
            return Err(EvalError::Interrupted);
        }
        answered.push(ask(&model, &tokenizer, question, config.max_new_tokens)?);
        bar.set(answered.len() as u64);
    }
    Ok(answered)
}

fn add_results(name: &str, answered: &[Answered], results: &mut Vec<serde_json::Value>, metrics: &mut Metrics) {
    let mut by_language: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for answer in answered {
        let (hits, n) = by_language.entry(&answer.lang).or_default();
        *hits += u64::from(answer.correct);
        *n += 1;
    }
    for (lang, (hits, n)) in by_language {
        add_result((name, lang), (hits, n), results, metrics);
    }
}

fn add_chance(questions: &[Question], seed: u64, results: &mut Vec<serde_json::Value>, metrics: &mut Metrics) {
    let languages: BTreeSet<&str> = questions.iter().map(|question| question.lang.as_str()).collect();
    for lang in languages {
        let own: Vec<&Question> = questions.iter().filter(|question| question.lang == lang).collect();
        add_result(("answers shuffled", lang), (chance_hits(&own, seed), own.len() as u64), results, metrics);
    }
}

fn add_result(
    (name, lang): (&str, &str),
    (hits, n): (u64, u64),
    results: &mut Vec<serde_json::Value>,
    metrics: &mut Metrics,
) {
    let share = wilson(hits, n);
    results.push(json!({
        "name": name, "lang": lang, "n": n,
        "accuracy": share.value, "accuracy_low": share.low, "accuracy_high": share.high,
    }));
    if name == "model" {
        metrics.insert(format!("questions_{lang}"), n.into());
    }
    let prefix = match name {
        "model" => format!("accuracy_{lang}"),
        "before" => format!("before_accuracy_{lang}"),
        _ => format!("chance_accuracy_{lang}"),
    };
    metrics.insert(prefix.clone(), share.value.into());
    metrics.insert(format!("{prefix}_low"), share.low.into());
    metrics.insert(format!("{prefix}_high"), share.high.into());
}

fn first_of_each_language(answered: Vec<Answered>, n: usize) -> Vec<Answered> {
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    answered
        .into_iter()
        .filter(|answer| {
            let count = taken.entry(answer.lang.clone()).or_default();
            *count += 1;
            *count <= n
        })
        .collect()
}
