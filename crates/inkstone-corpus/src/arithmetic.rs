//! The `arithmetic` stage: sums as texts, as conversations and as judged questions, some of which no training sees.

use std::collections::BTreeMap;

use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::document::Split;
use crate::judged::{Judged, file_name};
use crate::lines::Lines;
use crate::mix::finalise;
use crate::settings::check_share;

/// The `arithmetic` table of a recipe.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArithmeticConfig {
    /// Largest summand. Default 99.
    #[serde(default = "ninety_nine")]
    pub largest: u64,
    /// Texts, of 24 sums each. Default 2000.
    #[serde(default = "two_thousand")]
    pub texts: usize,
    /// Conversations, of one sum each. Default 2000.
    #[serde(default = "two_thousand")]
    pub conversations: usize,
    /// The share of a text's sums whose numbers have one digit each: what longer sums are made of is learnt from them. Default 0: all
    /// sums are drawn alike.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub short: f64,
    /// The share of sums that only the judged questions of validation have. Default 0.1.
    #[serde(default = "tenth")]
    pub unseen: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

fn ninety_nine() -> u64 {
    99
}

fn two_thousand() -> usize {
    2000
}

fn tenth() -> f64 {
    0.1
}

/// Sums of a text.
const LINES: usize = 24;
/// Largest `largest`: every pair is listed.
const MOST: u64 = 999;

/// The `arithmetic` stage.
#[derive(Debug, Clone, Copy)]
pub struct ArithmeticStage;

/// Two numbers.
type Pair = (u64, u64);

impl Stage for ArithmeticStage {
    type Config = ArithmeticConfig;
    const KIND: &'static str = "arithmetic";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "writes sums: texts, conversations, and questions with a judge";

    fn validate(config: &ArithmeticConfig) -> Result<(), String> {
        if config.largest == 0 || config.largest > MOST {
            return Err(format!("`largest` is {}, expected 1 to {MOST}", config.largest));
        }
        if !(0.0..=1.0).contains(&config.short) {
            return Err(format!("`short` is {}, expected 0 to 1", config.short));
        }
        check_share(config.unseen).map_err(|error| error.replace("validation", "unseen"))
    }

    fn inputs(_: &ArithmeticConfig) -> Vec<Input> {
        Vec::new()
    }

    fn estimate(_: &ArithmeticConfig, _: &BTreeMap<String, Forecast>, _: &Machine) -> Estimate {
        Estimate { seconds: Some(0.1), ..Estimate::default() }
    }

    fn run(config: &ArithmeticConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let (train, unseen) = pairs(config, context.seed);
        let draw = |n: usize| among(&train, context.seed, n);
        let short: Vec<Pair> = train.iter().copied().filter(|&(a, b)| a < 10 && b < 10).collect();
        let mut texts = Lines::create(&context.out().join("texts.en.jsonl"))?;
        for n in 0..config.texts {
            let sum = |line: usize| {
                let at = n * LINES + line;
                if is_short(config, context.seed, at) { among(&short, context.seed, at) } else { draw(at) }
            };
            let text = (0..LINES).map(|line| stated(sum(line))).collect::<Vec<_>>().join("\n");
            texts.write(&json!({"id": format!("sums-{n}"), "text": text}))?;
        }
        texts.finish()?;
        let mut instructions = Lines::create(&context.out().join("instructions.en.jsonl"))?;
        for n in 0..config.conversations {
            let (a, b) = draw(config.texts * LINES + n);
            instructions.write(&json!({"messages": [
                {"role": "user", "content": asked((a, b))}, {"role": "assistant", "content": (a + b).to_string()}]}))?;
        }
        instructions.finish()?;
        for (split, pairs) in [(Split::Train, &train), (Split::Validation, &unseen)] {
            write_judged(context, split, pairs)?;
        }
        let counts = [("sums", train.len()), ("unseen_sums", unseen.len()), ("documents", config.texts)];
        Ok(counts.into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect())
    }
}

fn write_judged(context: &Context<'_>, split: Split, pairs: &[Pair]) -> Result<(), StageError> {
    let mut lines = Lines::create(&context.out().join(file_name(split, "en")))?;
    for &(a, b) in pairs {
        let record = Judged {
            id: format!("{a}+{b}"),
            question: asked((a, b)),
            answer: (a + b).to_string(),
            lang: "en".into(),
            ..Judged::default()
        };
        lines.write(&serde_json::to_value(record).expect("invariant: plain data"))?;
    }
    lines.finish()
}

/// The pair that is drawn for the place `n`.
fn among(pairs: &[Pair], seed: u64, n: usize) -> Pair {
    pairs[(finalise(seed ^ finalise(n as u64)) % pairs.len().max(1) as u64) as usize]
}

/// Whether a short sum stands at the place `n` of the texts.
fn is_short(config: &ArithmeticConfig, seed: u64, n: usize) -> bool {
    let drawn = finalise(finalise(seed.wrapping_add(1)) ^ finalise(n as u64)) % 1_000_000;
    (drawn as f64) < config.short * 1e6
}

/// All pairs: those that may be learnt from, and the others, drawn pair by pair.
fn pairs(config: &ArithmeticConfig, seed: u64) -> (Vec<Pair>, Vec<Pair>) {
    let most = (config.unseen * 1e6) as u64;
    let numbers = || 0..=config.largest;
    let all = numbers().flat_map(|a| numbers().map(move |b| (a, b)));
    all.partition(|&(a, b)| finalise(finalise(seed ^ a) ^ b) % 1_000_000 >= most)
}

fn stated((a, b): Pair) -> String {
    format!("{a} + {b} = {}", a + b)
}

fn asked((a, b): Pair) -> String {
    format!("{a} + {b} = ?")
}

#[cfg(test)]
mod tests {
    use super::{ArithmeticConfig, pairs};

    #[test]
    fn so_many_sums_are_short_as_asked_for() {
        let config: ArithmeticConfig = serde_json::from_str("{\"short\": 0.25}").expect("valid");
        let count = (0..4000).filter(|&n| super::is_short(&config, 3, n)).count();
        assert!((900..1100).contains(&count), "{count}");
    }

    #[test]
    fn every_pair_is_on_one_side() {
        let config: ArithmeticConfig = serde_json::from_str("{\"unseen\": 0.2}").expect("valid");
        let (train, unseen) = pairs(&config, 3);
        assert_eq!(train.len() + unseen.len(), 10_000);
        assert!((1700..2300).contains(&unseen.len()), "{}", unseen.len());
        assert!(unseen.iter().all(|pair| !train.contains(pair)));
    }
}
