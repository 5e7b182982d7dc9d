//! The `reward` stage.

use std::collections::BTreeMap;

use inkstone_corpus::Split;
use inkstone_models::Model;
use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError, Upstream, fs};
use inkstone_tokenizer::Tokenizer;

use super::judge::{Judgement, judge};
use super::objective::{Scored, scores, sides};
use crate::config::training_stage_config;
use crate::objective::Objective;
use crate::peft::Tuning;
use crate::preference::{Encoded, Pair, Pairs, Reading, numbers};
use crate::stage::finish;
use crate::trainer::{Run, train};
use crate::{TrainError, probe};

training_stage_config! {
    /// The `reward` table of a recipe.
    RewardConfig {
        /// The stage whose model learns to score.
        base: String,
        /// The stage with the preferences.
        preferences: String,
    }
}

/// The `reward` stage.
#[derive(Debug, Clone, Copy)]
pub struct RewardStage;

impl Stage for RewardStage {
    type Config = RewardConfig;
    const KIND: &'static str = "reward";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "trains a model that scores answers, from pairs of them";

    fn validate(config: &RewardConfig) -> Result<(), String> {
        config.training().validate()
    }

    fn inputs(config: &RewardConfig) -> Vec<Input> {
        vec![
            Input { field: "base", stage: config.base.clone(), kinds: crate::MODELS },
            Input { field: "preferences", stage: config.preferences.clone(), kinds: &["preferences", "feedback"] },
        ]
    }

    fn estimate(config: &RewardConfig, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate {
        let Some(shape) = probe::forecast_model(inputs.get("base")) else { return Estimate::default() };
        // A pair is two rows.
        let mut training = config.training();
        training.batch_size *= 2;
        probe::estimate(&shape, &training, inputs, machine)
    }

    fn foresee(config: &RewardConfig, upstream: &Upstream<'_>) -> Result<(), StageError> {
        crate::sft::foresee_context(config.context, upstream)
    }

    fn run(config: &RewardConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let training = crate::config::TrainingConfig { sample_prompts: Vec::new(), ..config.training() };
        let base = &context.input("base").folder;
        let tokenizer = Tokenizer::load(base).map_err(TrainError::from)?;
        let pad = tokenizer.pad().unwrap_or(0);
        let reading =
            Reading { batch_size: config.batch_size, context: config.context, seed: context.seed, paired: true };
        let read = |split| Pairs::read(&context.input("preferences").folder, split, &tokenizer, reading);
        let (mut pairs, mut held_out) = (read(Split::Train)?, read(Split::Validation)?);
        pairs.check(true, context)?;
        let device = inkstone_nn::training_device();
        let model =
            Model::load(base, training.precision.into(), &device).map_err(TrainError::from)?.with_score(&device);
        crate::sft::fits(config.context, model.context())?;
        let run = Run {
            training: &training,
            objective: &Scored { pad } as &dyn Objective<Vec<Pair>>,
            tokenizer: &tokenizer,
            tokens_per_byte: None,
            context,
        };
        let some = (!held_out.pairs.is_empty()).then_some(&mut held_out);
        let trained = train(model, (&mut pairs, some), &run)?;
        let mut metrics = finish(&trained, &run, (base, &Tuning::Full))?;
        if !held_out.pairs.is_empty() {
            let judgement = held_out_judgement(&trained.model.valid(), &held_out.pairs, pad);
            publish(&judgement, &mut metrics, context)?;
        }
        Ok(metrics)
    }
}

/// Pairs that are scored at once.
const PAIRS: usize = 8;

fn held_out_judgement(model: &Model, pairs: &[Pair], pad: u32) -> Judgement {
    let (mut scored, mut lengths) = (Vec::new(), Vec::new());
    let length = |side: &Encoded| side.labels.iter().filter(|&&label| label >= 0).count();
    for pairs in pairs.chunks(PAIRS) {
        let rows = sides(pairs);
        let all = scores(model, &rows, pad).map(numbers).unwrap_or_default();
        let k = pairs.len();
        scored.extend(all.iter().copied().zip(all[k..].iter().copied()));
        lengths.extend(rows[..k].iter().zip(&rows[k..]).map(|(good, bad)| (length(good), length(bad))));
    }
    judge(&scored, &lengths)
}

/// `judgement.json`, and its numbers among the metrics.
fn publish(judgement: &Judgement, metrics: &mut Metrics, context: &Context<'_>) -> Result<(), StageError> {
    for (name, share) in [("accuracy", judgement.accuracy), ("length_accuracy", judgement.length_accuracy)] {
        metrics.insert(name.into(), share.value.into());
        metrics.insert(format!("{name}_low"), share.low.into());
        metrics.insert(format!("{name}_high"), share.high.into());
    }
    metrics.insert("calibration_error".into(), judgement.calibration_error.into());
    let text = serde_json::to_vec_pretty(judgement).expect("invariant: plain data");
    fs::write_atomic(&context.out().join("judgement.json"), &text).map_err(TrainError::from)?;
    context.progress.say(&format!(
        "held-out pairs: {:.1} % right ({:.1} to {:.1}); by length alone {:.1} %",
        100.0 * judgement.accuracy.value,
        100.0 * judgement.accuracy.low,
        100.0 * judgement.accuracy.high,
        100.0 * judgement.length_accuracy.value,
    ));
    Ok(())
}
