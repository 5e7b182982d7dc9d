//! The `win-rate` stage: two models answer the same questions, a programmed judge says whose answers are better.

use std::collections::BTreeMap;
use std::path::Path;

use inkstone_corpus::Split;
use inkstone_corpus::chat::{Message, Role};
use inkstone_corpus::judged::{Duty, Judged, Verdict, read_judged};
use inkstone_corpus::read_documents;
use inkstone_models::Model;
use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError};
use inkstone_tokenizer::Tokenizer;
use inkstone_train::peft::merged;
use inkstone_train::policy::rollout::{Generator, mix, sampling};
use serde::{Deserialize, Serialize};

use crate::interval::{Share, mean, wilson};
use crate::{EvalError, text_loss};

/// The `win-rate` table of a recipe.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WinRateConfig {
    /// The stage whose model is judged.
    pub model: String,
    /// The stage whose model it is compared with.
    pub against: String,
    /// The `world` or `arithmetic` stage whose held-out questions are asked.
    pub questions: String,
    /// A `corpus` stage: the loss on its validation texts shows what alignment cost (the alignment tax, arXiv:2203.02155, section 4.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<String>,
    /// Answers are drawn at this temperature; 0: the likeliest token each time. Default 1.
    #[serde(default = "unit")]
    pub temperature: f64,
    /// Tokens of an answer at most. Default 24.
    #[serde(default = "twenty_four")]
    pub max_new_tokens: usize,
    /// Questions at most, evenly from all. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

fn unit() -> f64 {
    1.0
}

fn twenty_four() -> usize {
    24
}

/// The `win-rate` stage.
#[derive(Debug, Clone, Copy)]
pub struct WinRateStage;

impl Stage for WinRateStage {
    type Config = WinRateConfig;
    const KIND: &'static str = "win-rate";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "lets two models answer the same questions, and a program judge whose answers are better";

    fn validate(config: &WinRateConfig) -> Result<(), String> {
        match (config.temperature, config.max_new_tokens, config.limit) {
            (_, 0, _) => Err("`max_new_tokens` is 0, expected 1 or more".into()),
            (.., Some(0)) => Err("`limit` is 0, expected 1 or more".into()),
            (temperature, ..) if !(0.0..=10.0).contains(&temperature) => {
                Err(format!("`temperature` is {temperature}, expected 0 to 10"))
            }
            _ => Ok(()),
        }
    }

    fn inputs(config: &WinRateConfig) -> Vec<Input> {
        let model = |field, stage: &String| Input { field, stage: stage.clone(), kinds: inkstone_train::MODELS };
        let mut inputs = vec![
            model("model", &config.model),
            model("against", &config.against),
            Input { field: "questions", stage: config.questions.clone(), kinds: &["world", "arithmetic"] },
        ];
        let texts = config.texts.iter();
        inputs.extend(texts.map(|stage| Input { field: "texts", stage: stage.clone(), kinds: &["corpus"] }));
        inputs
    }

    fn estimate(_: &WinRateConfig, _: &BTreeMap<String, Forecast>, _: &Machine) -> Estimate {
        Estimate::default()
    }

    fn run(config: &WinRateConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let comparison = compare(config, context)?;
        let text = serde_json::to_string_pretty(&comparison).expect("invariant: plain data") + "\n";
        let path = context.out().join("win_rate.json");
        std::fs::write(&path, text).map_err(|source| EvalError::File { path, source })?;
        Ok(comparison.metrics())
    }
}

/// Who won how often.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// Questions on which the model's answer was better.
    pub wins: u64,
    /// Questions on which neither answer was.
    pub ties: u64,
    /// Questions on which the other's was.
    pub losses: u64,
    /// Share of the questions that were won, ties counted half.
    pub win_rate: Share,
    /// Share of those with a winner that were won.
    pub decided: Share,
    /// What each was worth by what is owed, and in all.
    pub duties: Vec<Owed>,
    /// Bits per byte of texts, the other model's first, where texts were given.
    pub bits_per_byte: Option<[f64; 2]>,
    /// Some answers of both.
    pub examples: Vec<Example>,
}

/// The verdicts on one kind of question in one language.
#[derive(Debug, Clone, Serialize)]
pub struct Owed {
    /// `helpful`, …, or `all`.
    pub duty: &'static str,
    /// `en`, `zh`, or empty for all.
    pub lang: String,
    /// Good answers of the other model.
    pub before: Share,
    /// Good answers of the model.
    pub after: Share,
    /// Harmful answers of the two, the other's first.
    pub harmful: [u64; 2],
}

/// A question with both answers.
#[derive(Debug, Clone, Serialize)]
pub struct Example {
    /// What was asked.
    pub question: String,
    /// A good answer.
    pub answer: String,
    /// The other model's answer, and whether it is good.
    pub before: (String, bool),
    /// The model's.
    pub after: (String, bool),
}

/// Questions that are answered together.
const AT_ONCE: usize = 64;

/// Examples that are kept.
const EXAMPLES: usize = 24;

fn compare(config: &WinRateConfig, context: &Context<'_>) -> Result<Comparison, EvalError> {
    let folder = &context.input("questions").folder;
    let all = read_judged(folder, Split::Validation)?;
    if all.is_empty() {
        return Err(EvalError::Empty { path: folder.clone(), what: "has no judged questions" });
    }
    let step = config.limit.map_or(1, |limit| all.len().div_ceil(limit));
    let questions: Vec<Judged> = all.into_iter().step_by(step).collect();
    let mut said = Vec::new();
    let mut bits = Vec::new();
    for field in ["against", "model"] {
        let (answers, loss) = one(&context.input(field).folder, &questions, config, context)?;
        said.push(answers);
        bits.extend(loss);
    }
    let after = said.pop().unwrap_or_default();
    let before = said.pop().unwrap_or_default();
    let bits_per_byte = <[f64; 2]>::try_from(bits).ok();
    Ok(Comparison { bits_per_byte, ..judged(&questions, &before, &after) })
}

/// A model's answers, and its bits per byte on the texts, where there are any.
fn one(
    folder: &Path,
    questions: &[Judged],
    config: &WinRateConfig,
    context: &Context<'_>,
) -> Result<(Vec<String>, Option<f64>), EvalError> {
    let tokenizer = Tokenizer::load(folder)?;
    let model = merged(folder, &[], (inkstone_nn::Precision::F32, &inkstone_nn::device()))?;
    let mut how = sampling(&tokenizer, config.max_new_tokens);
    how.temperature = config.temperature as f32;
    let bar = context.progress.task("answering", Some(questions.len() as u64), "questions");
    let mut answers = Vec::with_capacity(questions.len());
    for some in questions.chunks(AT_ONCE) {
        if context.interrupt.requested() {
            return Err(EvalError::Interrupted);
        }
        let prompts = some.iter().map(|question| {
            tokenizer.encode_chat(&[Message { role: Role::User, content: question.question.clone() }], true)
        });
        let prompts: Vec<Vec<u32>> = prompts.collect::<Result<_, _>>()?;
        let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        // Both models draw with the same seeds.
        let numbers = answers.len() as u64..(answers.len() + some.len()) as u64;
        let seeds: Vec<u64> = numbers.map(|n| mix(context.seed, u64::MAX, n)).collect();
        for ids in model.answers(&prompts, &how, &seeds)? {
            answers.push(tokenizer.decode(&ids)?.trim().to_owned());
        }
        bar.set(answers.len() as u64);
    }
    let bits = config.texts.as_ref().map(|_| bits_per_byte((&model, &tokenizer), context)).transpose()?;
    Ok((answers, bits))
}

fn bits_per_byte((model, tokenizer): (&Model, &Tokenizer), context: &Context<'_>) -> Result<f64, EvalError> {
    let (mut bits, mut bytes) = (0.0, 0);
    for document in read_documents(&context.input("texts").folder, Split::Validation)? {
        let text = document?.text;
        let loss = text_loss(model, tokenizer, &text, model.context(), (context.interrupt, &mut |_, _| {}))?;
        bits += loss.bits_per_byte * loss.bytes as f64;
        bytes += loss.bytes;
    }
    Ok(bits / bytes.max(1) as f64)
}

/// Judges both models' answers to `questions`.
pub fn judged(questions: &[Judged], before: &[String], after: &[String]) -> Comparison {
    let verdicts = |answers: &[String]| -> Vec<Verdict> {
        questions.iter().zip(answers).map(|(question, answer)| question.verdict(answer)).collect()
    };
    let (was, is) = (verdicts(before), verdicts(after));
    let count =
        |wanted: std::cmp::Ordering| is.iter().zip(&was).filter(|(is, was)| is.cmp(was) == wanted).count() as u64;
    let (wins, ties, losses) =
        (count(std::cmp::Ordering::Greater), count(std::cmp::Ordering::Equal), count(std::cmp::Ordering::Less));
    let points: Vec<f64> =
        is.iter().zip(&was).map(|(is, was)| f64::midpoint(f64::from(is.cmp(was) as i8), 1.0)).collect();
    let good = |verdict: Verdict| verdict == Verdict::Right;
    let examples = (0..questions.len()).step_by(questions.len().div_ceil(EXAMPLES).max(1)).map(|n| Example {
        question: questions[n].question.clone(),
        answer: questions[n].answer.clone(),
        before: (before[n].clone(), good(was[n])),
        after: (after[n].clone(), good(is[n])),
    });
    Comparison {
        wins,
        ties,
        losses,
        win_rate: mean(&points),
        decided: wilson(wins, wins + losses),
        duties: owed(questions, &was, &is),
        bits_per_byte: None,
        examples: examples.collect(),
    }
}

/// Good and harmful answers for each duty in each language, and in all.
fn owed(questions: &[Judged], was: &[Verdict], is: &[Verdict]) -> Vec<Owed> {
    let mut groups: BTreeMap<(Duty, &str), Vec<usize>> = BTreeMap::new();
    for (n, question) in questions.iter().enumerate() {
        groups.entry((question.duty, &question.lang)).or_default().push(n);
    }
    let share = |verdicts: &[Verdict], of: &[usize]| {
        wilson(of.iter().filter(|&&n| verdicts[n] == Verdict::Right).count() as u64, of.len() as u64)
    };
    let harmful =
        |verdicts: &[Verdict], of: &[usize]| of.iter().filter(|&&n| verdicts[n] == Verdict::Harmful).count() as u64;
    let row = |duty: &'static str, lang: &str, of: &[usize]| Owed {
        duty,
        lang: lang.to_owned(),
        before: share(was, of),
        after: share(is, of),
        harmful: [harmful(was, of), harmful(is, of)],
    };
    let mut rows: Vec<Owed> = groups.iter().map(|((duty, lang), of)| row(duty.name(), lang, of)).collect();
    rows.push(row("all", "", &(0..questions.len()).collect::<Vec<_>>()));
    rows
}

impl Comparison {
    fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::new();
        let mut add = |name: &str, share: Share| {
            metrics.insert(name.to_owned(), share.value.into());
            metrics.insert(format!("{name}_low"), share.low.into());
            metrics.insert(format!("{name}_high"), share.high.into());
        };
        add("win_rate", self.win_rate);
        add("win_rate_decided", self.decided);
        for row in &self.duties {
            let name = [row.duty, &row.lang].join("_");
            add(&format!("right_{}", name.trim_end_matches('_')), row.after);
            add(&format!("before_right_{}", name.trim_end_matches('_')), row.before);
        }
        if let Some([before, after]) = self.bits_per_byte {
            metrics.insert("before_bits_per_byte".into(), before.into());
            metrics.insert("bits_per_byte".into(), after.into());
        }
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::{Judged, judged};

    #[test]
    fn ties_count_half_and_verdicts_are_ranked() {
        let question = |answer: &str| Judged { answer: answer.into(), none_of: vec!["7".into()], ..Judged::default() };
        let questions = [question("a b"), question("c"), question("d"), question("e")];
        let strings = |words: [&str; 4]| words.map(str::to_owned);
        let result = judged(&questions, &strings(["x", "7", "d", "f"]), &strings(["a b", "g", "x", "g"]));
        assert_eq!((result.wins, result.ties, result.losses), (2, 1, 1));
        assert!((result.win_rate.value - 0.625).abs() < 1e-12, "{result:?}");
        let all = result.duties.last().expect("a row for all");
        assert_eq!((all.harmful, all.before.value, all.after.value), ([1, 0], 0.25, 0.25));
    }
}
