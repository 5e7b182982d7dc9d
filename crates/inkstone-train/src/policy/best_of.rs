//! The `best-of` stage: of several answers the one that a reward model prefers, and what it is worth to a judge that knows the truth.
//!
//! The curve over the number of answers shows over-optimisation (arXiv:2210.10760, section 3): where the reward model goes on
//! rising and the truth no longer does, its errors are being chosen.

use std::collections::BTreeMap;

use inkstone_corpus::Split;
use inkstone_models::Model;
use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError, fs};
use inkstone_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

use super::asker::Asker;
use super::prompts::{Asking, Prompt, QUESTIONS, drawn};
use super::reward::RewardTable;
use crate::TrainError;
use crate::preference::{Encoded, numbers};
use crate::reward::scores;

/// The `best-of` table of a recipe.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BestOfConfig {
    /// The stage whose model answers.
    pub model: String,
    /// The `reward` stage that chooses.
    pub reward_model: String,
    /// The stage whose held-out questions are asked.
    pub questions: String,
    /// What answers are worth in truth. Default: 1 for the known answer, −1 for one without an end.
    #[serde(default)]
    pub reward: RewardTable,
    /// Answers to each question at most; the curve has every power of two. Default 16.
    #[serde(default = "sixteen")]
    pub answers: usize,
    /// Questions at most. Default 200.
    #[serde(default = "two_hundred")]
    pub prompts: usize,
    /// Tokens of an answer at most. Default 32.
    #[serde(default = "crate::config::answer_tokens")]
    pub max_new_tokens: usize,
}

fn sixteen() -> usize {
    16
}

fn two_hundred() -> usize {
    200
}

/// The best of `n` answers, on average over all questions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// Answers that there were to choose from.
    pub n: usize,
    /// How far choosing goes from the policy, in nats: `ln n − (n − 1)/n`.
    pub kl: f64,
    /// The reward model's score of what it chose.
    pub score: f64,
    /// What that was worth in truth.
    pub reward: f64,
}

/// The `best-of` stage.
#[derive(Debug, Clone, Copy)]
pub struct BestOfStage;

impl Stage for BestOfStage {
    type Config = BestOfConfig;
    const KIND: &'static str = "best-of";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "lets a reward model choose among answers, and compares its choice with the truth";

    fn validate(config: &BestOfConfig) -> Result<(), String> {
        config.reward.validate()?;
        let sizes =
            [("answers", config.answers), ("prompts", config.prompts), ("max_new_tokens", config.max_new_tokens)];
        match sizes.iter().find(|(_, size)| *size == 0) {
            Some((name, _)) => Err(format!("`{name}` is 0, expected 1 or more")),
            None => Ok(()),
        }
    }

    fn inputs(config: &BestOfConfig) -> Vec<Input> {
        vec![
            Input { field: "model", stage: config.model.clone(), kinds: crate::MODELS },
            Input { field: "reward_model", stage: config.reward_model.clone(), kinds: &["reward"] },
            Input { field: "questions", stage: config.questions.clone(), kinds: QUESTIONS },
        ]
    }

    fn estimate(_: &BestOfConfig, _: &BTreeMap<String, Forecast>, _: &Machine) -> Estimate {
        Estimate::default()
    }

    fn run(config: &BestOfConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let curve = curve(&answers(config, context)?, config.answers);
        let text = serde_json::to_vec_pretty(&curve).expect("invariant: plain data");
        fs::write_atomic(&context.out().join("best_of.json"), &text).map_err(TrainError::from)?;
        let mut metrics = Metrics::new();
        for point in &curve {
            metrics.insert(format!("score_{}", point.n), point.score.into());
            metrics.insert(format!("reward_{}", point.n), point.reward.into());
        }
        Ok(metrics)
    }
}

/// For each question the score and the true reward of each answer.
fn answers(config: &BestOfConfig, context: &Context<'_>) -> Result<Vec<Vec<(f64, f64)>>, StageError> {
    let load = |field: &str| {
        let folder = &context.input(field).folder;
        Model::load(folder, inkstone_nn::Precision::F32, &inkstone_nn::device()).map_err(TrainError::from)
    };
    let (model, scorer) = (load("model")?, load("reward_model")?);
    let tokenizer = Tokenizer::load(&context.input("model").folder).map_err(TrainError::from)?;
    let room = model.context().min(scorer.context()).saturating_sub(config.max_new_tokens + 1);
    let prompts = Asking { room, max_known_characters: usize::MAX }.prompts(&tokenizer, Split::Validation, context)?;
    let asked = drawn(&prompts, context.seed, config.prompts);
    let asker = Asker {
        model: &model,
        tokenizer: &tokenizer,
        reward: &config.reward,
        answers: config.answers,
        max_new_tokens: config.max_new_tokens,
    };
    let bar = context.progress.task("asking", Some(asked.len() as u64), "questions");
    let mut all = Vec::new();
    for (n, prompt) in asked.iter().enumerate() {
        context.check_interrupt()?;
        all.push(judged((&asker, &scorer), prompt, (context.seed, n as u64))?);
        bar.set(n as u64 + 1);
    }
    Ok(all)
}

/// Score and true reward of each answer to a prompt.
fn judged(
    (asker, scorer): (&Asker<'_>, &Model),
    prompt: &Prompt,
    draw: (u64, u64),
) -> Result<Vec<(f64, f64)>, TrainError> {
    let said = asker.answers(&[prompt], draw)?.pop().unwrap_or_default();
    let rows: Vec<Encoded> = said.iter().map(|said| Encoded::answer(&prompt.ids, &said.ids)).collect();
    let scored = scores(scorer, &rows.iter().collect::<Vec<_>>(), 0).map(numbers).unwrap_or_default();
    Ok(said.iter().zip(scored).map(|(said, score)| (f64::from(score), said.reward)).collect())
}

/// The curve over every power of two up to `most`; the first `n` answers to each question are chosen from.
pub fn curve(answers: &[Vec<(f64, f64)>], most: usize) -> Vec<Point> {
    let powers = std::iter::successors(Some(1_usize), |n| Some(2 * n)).take_while(|&n| n <= most);
    let point = |n: usize| {
        let best = answers
            .iter()
            .filter_map(|of| of.iter().take(n).copied().reduce(|best, next| if next.0 > best.0 { next } else { best }));
        let (score, reward) = best.fold((0.0, 0.0), |(score, reward), best| (score + best.0, reward + best.1));
        let questions = answers.len().max(1) as f64;
        let kl = (n as f64).ln() - (n as f64 - 1.0) / n as f64;
        Point { n, kl, score: score / questions, reward: reward / questions }
    };
    powers.map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::curve;

    #[test]
    fn the_best_of_the_first_answers_is_taken_by_score() {
        let curve = curve(&[vec![(0.0, 1.0), (1.0, 0.0), (2.0, 5.0)], vec![(3.0, 2.0), (1.0, 7.0), (4.0, 1.0)]], 3);
        assert_eq!(curve.len(), 2);
        assert_eq!((curve[0].n, curve[0].score, curve[0].reward), (1, 1.5, 1.5));
        assert_eq!((curve[1].n, curve[1].score, curve[1].reward), (2, 2.0, 1.0));
        assert!(curve[0].kl.abs() < 1e-12);
    }
}
