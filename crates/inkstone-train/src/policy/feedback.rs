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
use super::prompts::{Asking, Prompt, QUESTIONS};
use super::reward::RewardTable;
use crate::TrainError;
use crate::preference::order;

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
        let asked: Vec<usize> = order(seed, 0, prompts.len()).into_iter().take(config.prompts).collect();
        let asker = Asker {
            model: &model,
            tokenizer: &tokenizer,
            reward: &config.reward,
            answers: config.answers,
            max_new_tokens: config.max_new_tokens,
        };
        let bar = context.progress.task("asking", Some(asked.len() as u64), "questions");
        let (mut preferences, mut best, mut reward) = (Vec::new(), String::new(), 0.0);
        for (n, &at) in asked.iter().enumerate() {
            context.check_interrupt()?;
            let judged = asker.answers(&prompts[at], (seed, n as u64))?;
            reward += judged.iter().map(|said| said.reward).sum::<f64>() / judged.len() as f64;
            preferences.extend(preference(&prompts[at], &judged));
            best.push_str(&conversation(&prompts[at], &judged).unwrap_or_default());
            bar.set(n as u64 + 1);
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

/// Conversations with the best answers, for a `chat` stage.
const BEST: &str = "instructions.best.jsonl";

/// A line with the best of some answers, where it is any good: what rejection sampling tunes on (arXiv:2307.09288, section 3.2.3).
fn conversation(prompt: &Prompt, judged: &[Said]) -> Option<String> {
    let best = judged.iter().reduce(|a, b| if b.reward > a.reward { b } else { a }).filter(|best| best.reward > 0.0)?;
    let answer = Message { role: Role::Assistant, content: best.text.clone() };
    let messages: Vec<Message> = prompt.messages.iter().cloned().chain([answer]).collect();
    Some(serde_json::json!({"messages": messages}).to_string() + "\n")
}

/// The best answer and the worst, where one is better and both say something.
fn preference(prompt: &Prompt, judged: &[Said]) -> Option<Answers> {
    let said = || judged.iter().filter(|said| !said.text.trim().is_empty());
    let best = said().reduce(|a, b| if b.reward > a.reward { b } else { a })?;
    let worst = said().reduce(|a, b| if b.reward < a.reward { b } else { a })?;
    (best.reward > worst.reward).then(|| Answers {
        prompt: prompt.messages.clone(),
        chosen: Some(best.text.clone()),
        rejected: Some(worst.text.clone()),
        margin: None,
    })
}
