//! The `feedback` stage: a model answers, a program judges, and what it prefers becomes preferences.

use std::collections::BTreeMap;

use inkstone_corpus::Split;
use inkstone_corpus::chat::{Message, Role};
use inkstone_corpus::preferences::{Answers, write_preferences};
use inkstone_models::Model;
use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError, fs};
use inkstone_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

use super::asker::{Asker, Said};
use super::prompts::{Asking, Prompt, QUESTIONS, drawn};
use super::reward::RewardTable;
use crate::TrainError;

/// The `feedback` table of a recipe.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedbackConfig {
    /// The stage whose model answers.
    pub model: String,
    /// The stage whose questions are asked: those that a `world` or `arithmetic` stage has a judge for, or the first of each
    /// conversation of a `chat` stage, with the known answer.
    pub questions: String,
    /// How answers are judged. Default: 1 for the known answer, −1 for one without an end.
    #[serde(default)]
    pub reward: RewardTable,
    /// Questions that are asked at most.
    pub prompts: usize,
    /// Answers to each. Default 8.
    #[serde(default = "crate::config::eight_answers")]
    pub answers: usize,
    /// Preferences that come of a question at most: the best answers beside the worst, each wording once. Default 1.
    #[serde(default = "crate::config::one", skip_serializing_if = "is_one")]
    pub pairs: usize,
    /// Tokens of an answer at most. Default 32.
    #[serde(default = "crate::config::answer_tokens")]
    pub max_new_tokens: usize,
    /// Tokens of question and answer at most. Default 256.
    #[serde(default = "context")]
    pub context: usize,
    /// Questions with longer known answers are left out, in characters. Default 64.
    #[serde(default = "crate::config::known_characters")]
    pub max_known_characters: usize,
    /// What questions and answers are drawn from instead of the recipe's seed. Default: that seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The share of preferences that is kept for validation. Default 0.05.
    #[serde(default = "twentieth")]
    pub validation: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_one(pairs: &usize) -> bool {
    *pairs == 1
}

fn context() -> usize {
    256
}

fn twentieth() -> f64 {
    0.05
}

/// The `feedback` stage.
#[derive(Debug, Clone, Copy)]
pub struct FeedbackStage;

impl Stage for FeedbackStage {
    type Config = FeedbackConfig;
    const KIND: &'static str = "feedback";
    const VERSION: u32 = 2;
    const SUMMARY: &'static str =
        "lets a model answer and a program judge: preferences among its own answers, and conversations with the best";

    fn validate(config: &FeedbackConfig) -> Result<(), String> {
        config.reward.validate()?;
        match (config.prompts, config.answers, config.max_new_tokens) {
            _ if config.pairs == 0 => Err("`pairs` is 0, expected 1 or more".into()),
            (0, ..) => Err("`prompts` is 0, expected 1 or more".into()),
            (_, 0 | 1, _) => Err("`answers` is less than 2: there would be nothing to compare".into()),
            (.., 0) => Err("`max_new_tokens` is 0, expected 1 or more".into()),
            _ if !(0.0..=0.5).contains(&config.validation) => {
                Err(format!("`validation` is {}, expected 0 to 0.5", config.validation))
            }
            _ => Ok(()),
        }
    }

    fn inputs(config: &FeedbackConfig) -> Vec<Input> {
        vec![
            Input { field: "model", stage: config.model.clone(), kinds: crate::MODELS },
            Input { field: "questions", stage: config.questions.clone(), kinds: QUESTIONS },
        ]
    }

    fn estimate(_: &FeedbackConfig, _: &BTreeMap<String, Forecast>, _: &Machine) -> Estimate {
        Estimate::default()
    }

    fn run(config: &FeedbackConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let seed = config.seed.unwrap_or(context.seed);
        let folder = &context.input("model").folder;
        let tokenizer = Tokenizer::load(folder).map_err(TrainError::from)?;
        let model =
            Model::load(folder, inkstone_nn::Precision::F32, &inkstone_nn::device()).map_err(TrainError::from)?;
        let room = config.context.min(model.context()).saturating_sub(config.max_new_tokens + 1);
        let prompts = Asking { room, max_known_characters: config.max_known_characters }.prompts(
            &tokenizer,
            Split::Train,
            context,
        )?;
        let asked = drawn(&prompts, seed, config.prompts);
        let asker = Asker {
            model: &model,
            tokenizer: &tokenizer,
            reward: &config.reward,
            answers: config.answers,
            max_new_tokens: config.max_new_tokens,
        };
        let bar = context.progress.task("asking", Some(asked.len() as u64), "questions");
        let (mut preferences, mut best, mut reward) = (Vec::new(), String::new(), 0.0);
        for (n, some) in asked.chunks(AT_ONCE).enumerate() {
            context.check_interrupt()?;
            let first = n * AT_ONCE;
            for (prompt, judged) in some.iter().zip(asker.answers(some, (seed, first as u64))?) {
                reward += judged.iter().map(|said| said.reward).sum::<f64>() / judged.len() as f64;
                preferences.extend(among(prompt, &judged, config.pairs));
                best.push_str(&conversation(prompt, &judged).unwrap_or_default());
            }
            bar.set((first + some.len()) as u64);
        }
        fs::write_atomic(&context.out().join(BEST), best.as_bytes()).map_err(TrainError::from)?;
        if preferences.is_empty() {
            let hint = "raise `answers` or `prompts`, or take a model that is right now and then";
            return Err(StageError::failed("the model's answers to each question are equally good", hint));
        }
        let held_out = (preferences.len() as f64 * config.validation).round() as usize;
        let train = preferences.split_off(held_out);
        for (split, records) in [(Split::Train, &train), (Split::Validation, &preferences)] {
            write_preferences(context.out(), split, records).map_err(TrainError::from)?;
        }
        let counts =
            [("questions", asked.len()), ("preferences", train.len() + held_out), ("train_preferences", train.len())];
        let mut metrics: Metrics = counts.into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
        metrics.insert("reward".into(), (reward / asked.len() as f64).into());
        Ok(metrics)
    }
}

/// Questions that are asked together.
const AT_ONCE: usize = 16;

/// Conversations with the best answers, for a `chat` stage.
const BEST: &str = "instructions.best.jsonl";

/// A line with the best of some answers, where it is any good: what rejection sampling tunes on (arXiv:2307.09288, section 3.2.3).
fn conversation(prompt: &Prompt, judged: &[Said]) -> Option<String> {
    let best = judged.iter().reduce(|a, b| if b.reward > a.reward { b } else { a }).filter(|best| best.reward > 0.0)?;
    let answer = Message { role: Role::Assistant, content: best.text.clone() };
    let messages: Vec<Message> = prompt.messages.iter().cloned().chain([answer]).collect();
    Some(serde_json::json!({"messages": messages}).to_string() + "\n")
}

/// Preferences among some answers that say something, at most `pairs` of them and each wording once: the best beside the worst, the next
/// beside the next, the better ones again where more are worse.
fn among(prompt: &Prompt, judged: &[Said], pairs: usize) -> Vec<Answers> {
    let mut said: Vec<&Said> = Vec::new();
    for one in judged {
        if !one.text.trim().is_empty() && said.iter().all(|other| other.text != one.text) {
            said.push(one);
        }
    }
    // Among equals, those that were said first.
    let by_reward = |sign: f64| {
        let mut order = said.clone();
        order.sort_by(|a, b| (sign * b.reward).total_cmp(&(sign * a.reward)));
        order
    };
    let (best, worst) = (by_reward(1.0), by_reward(-1.0));
    let Some(top) = best.first() else { return Vec::new() };
    let good = best.iter().take_while(|one| one.reward >= top.reward).count();
    worst
        .iter()
        .enumerate()
        .map(|(n, bad)| (best[n % good], bad))
        .take_while(|(good, bad)| good.reward > bad.reward)
        .take(pairs)
        .map(|(good, bad)| Answers {
            prompt: prompt.messages.clone(),
            chosen: Some(good.text.clone()),
            rejected: Some(bad.text.clone()),
            margin: None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use inkstone_corpus::judged::Judged;

    use super::{Prompt, Said, among};

    fn pairs(said: &[(&str, f64)], most: usize) -> Vec<(String, String)> {
        let said: Vec<Said> =
            said.iter().map(|&(text, reward)| Said { ids: Vec::new(), text: text.into(), reward }).collect();
        let prompt = Prompt { messages: Vec::new(), ids: Vec::new(), judged: Judged::default() };
        let texts = |pair: super::Answers| (pair.chosen.unwrap_or_default(), pair.rejected.unwrap_or_default());
        among(&prompt, &said, most).into_iter().map(texts).collect()
    }

    #[test]
    fn the_best_stand_beside_the_worst_and_no_wording_comes_twice() {
        let said = [("a", 1.0), ("b", 0.0), ("a", 1.0), ("c", -1.0), ("", 1.0), ("d", 0.0), ("c", -1.0)];
        let pair = |good: &str, bad: &str| (good.to_owned(), bad.to_owned());
        assert_eq!(pairs(&said, 1), [pair("a", "c")]);
        assert_eq!(pairs(&said, 9), [pair("a", "c"), pair("a", "b"), pair("a", "d")]);
        let two = [("a", 1.0), ("b", 1.0), ("c", 0.0), ("d", 0.0), ("e", 0.0)];
        assert_eq!(pairs(&two, 9), [pair("a", "c"), pair("b", "d"), pair("a", "e")]);
        assert!(pairs(&[("a", 0.0), ("b", 0.0)], 9).is_empty() && pairs(&[], 9).is_empty());
    }
}
