//! The `policy` stage: a model that learns from rewards for its own answers.

use std::collections::BTreeMap;
use std::sync::Mutex;

use inkstone_corpus::Split;
use inkstone_models::Model;
use inkstone_recipe::{
    Context, Estimate, Forecast, ImplicitStage, Input, Machine, Metrics, Stage, StageError, Upstream,
};
use inkstone_tokenizer::Tokenizer;

use super::algorithm::AlgorithmTable;
use super::objective::{Rewarded, Steps};
use super::prompts::{Asking, QUESTIONS};
use super::ptx::PretrainingMix;
use super::reward::RewardTable;
use crate::config::training_stage_config;
use crate::objective::Objective;
use crate::peft::{PeftTable, Tuning};
use crate::stage::finish;
use crate::trainer::{Run, Trained, train};
use crate::{TrainError, probe};

training_stage_config! {
    /// The `policy` table of a recipe. `batch_size` and `context` bound the memory: rows of a step, tokens of prompt and answer.
    PolicyConfig {
        /// The stage whose model is tuned; it is the reference, too.
        base: String,
        /// The stage whose questions are the prompts: those that a `world` or `arithmetic` stage has a judge for, or the first of
        /// each conversation of a `chat` stage, with the known answer.
        questions: String,
        /// How rewards become steps.
        algorithm: AlgorithmTable,
        /// How answers are rewarded. Default: 1 for the known answer, −1 for one without an end.
        #[serde(default)]
        reward: RewardTable,
        /// A `reward` stage whose score of the answer is added. Default: none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reward_model: Option<String>,
        /// Prompts of an iteration.
        prompts: usize,
        /// Answers to each prompt. Default 8.
        #[serde(default = "crate::config::eight_answers")]
        answers: usize,
        /// Steps of a pass over an iteration's answers. Default 1.
        #[serde(default = "crate::config::one")]
        minibatches: usize,
        /// Passes over an iteration's answers. Default 1.
        #[serde(default = "crate::config::one")]
        epochs_per_iteration: usize,
        /// Tokens of an answer at most. Default 32.
        #[serde(default = "crate::config::answer_tokens")]
        max_new_tokens: usize,
        /// Strength of the pull towards the reference. Default 0.04.
        #[serde(default = "crate::config::kl")]
        kl: f64,
        /// The divergence in nats per answer that the pull is to hold: its strength grows while answers are further away, and falls
        /// while they are nearer. Default: the strength stays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kl_target: Option<f64>,
        /// The divergence in nats per answer that is never exceeded: training ends before the first iteration whose answers are further
        /// away than that on average, the policy after the last step is asked once more, and what is kept is the last policy whose
        /// answers were inside. Its weights are written at every iteration. Default: no bound.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kl_bound: Option<f64>,
        /// Texts that go on being predicted beside the answers (`PPO-ptx`). Default: none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pretraining: Option<PretrainingMix>,
        /// How far from 1 the ratio of new and old probabilities still counts. Default 0.2.
        #[serde(default = "crate::config::clip_ratio")]
        clip_ratio: f64,
        /// Prompts with longer known answers are left out, in characters. Default 64.
        #[serde(default = "crate::config::known_characters")]
        max_known_characters: usize,
        /// What prompts and answers are drawn from instead of the recipe's seed: the same stages below, another run. Default: that seed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<u64>,
        /// Trains an adapter or a part of the weights instead of all. Default: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peft: Option<PeftTable>,
    }
}

/// The `policy` stage.
#[derive(Debug, Clone, Copy)]
pub struct PolicyStage;

impl Stage for PolicyStage {
    type Config = PolicyConfig;
    const KIND: &'static str = "policy";
    const VERSION: u32 = 3;
    const SUMMARY: &'static str = "tunes a model on rewards for its own answers (PPO, GRPO, RLOO)";

    fn validate(config: &PolicyConfig) -> Result<(), String> {
        config.peft.as_ref().map_or(Ok(()), PeftTable::validate)?;
        config.algorithm.validate()?;
        config.reward.validate()?;
        check_sizes(config)?;
        config.training().validate()
    }

    fn inputs(config: &PolicyConfig) -> Vec<Input> {
        let mut inputs = vec![
            Input { field: "base", stage: config.base.clone(), kinds: crate::MODELS },
            Input { field: "questions", stage: config.questions.clone(), kinds: QUESTIONS },
        ];
        let scored = config.reward_model.iter();
        let texts = config.pretraining.iter();
        inputs.extend(texts.map(|_| Input { field: "tokens", stage: ".tokens".into(), kinds: &["tokens"] }));
        inputs.extend(scored.map(|stage| Input { field: "reward_model", stage: stage.clone(), kinds: &["reward"] }));
        inputs
    }

    fn implicit(config: &PolicyConfig) -> Vec<ImplicitStage> {
        config.pretraining.iter().map(|mix| mix.tokens(&config.base)).collect()
    }

    fn estimate(config: &PolicyConfig, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate {
        let Some(shape) = probe::forecast_model(inputs.get("base")) else { return Estimate::default() };
        probe::estimate(&shape, &config.training(), inputs, machine)
    }

    fn foresee(config: &PolicyConfig, upstream: &Upstream<'_>) -> Result<(), StageError> {
        crate::sft::foresee_context(config.context, upstream)
    }

    fn run(config: &PolicyConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let (training, seed) = (config.training(), config.seed.unwrap_or(context.seed));
        let base = &context.input("base").folder;
        let tokenizer = Tokenizer::load(base).map_err(TrainError::from)?;
        let prompts = config.asking().prompts(&tokenizer, Split::Train, context)?;
        let device = inkstone_nn::training_device();
        let tuning = Tuning::of(config.peft.as_ref());
        let precision = training.precision.into();
        let reference = Model::load(base, precision, &inkstone_nn::device()).map_err(TrainError::from)?;
        let plain = reference.config_json().clone();
        let mut model = tuning.load(base, (precision, &device), seed)?;
        crate::sft::fits(config.context, model.context())?;
        if config.algorithm.critic().is_some() {
            model = model.with_score(&device);
        }
        let objective = Rewarded {
            config,
            prompts: &prompts,
            tokenizer: &tokenizer,
            scorer: scorer(config, &reference, context)?,
            reference,
            seed,
            pretraining: config.pretraining.as_ref().map(|mix| mix.open(config, &tokenizer, context)).transpose()?,
            folder: context.state().join("rollouts"),
            state: Mutex::default(),
        };
        let run = Run {
            training: &training,
            objective: &objective as &dyn Objective<u64>,
            tokenizer: &tokenizer,
            tokens_per_byte: None,
            context,
        };
        let mut steps = Steps(training.total_steps(1));
        let trained = train(model, (&mut steps, None), &run)?;
        let trained = Trained { model: trained.model.without_score(plain), ..trained };
        let mut metrics = finish(&trained, &run, (base, &tuning))?;
        metrics
            .extend(objective.metrics().into_iter().map(|(name, value)| (name.replace("policy/", ""), value.into())));
        Ok(metrics)
    }
}

impl PolicyConfig {
    fn asking(&self) -> Asking {
        Asking {
            room: self.context.saturating_sub(self.max_new_tokens + 1),
            max_known_characters: self.max_known_characters,
        }
    }
}

/// The reward model, where the recipe names one: it must read what the policy says.
fn scorer(config: &PolicyConfig, policy: &Model, context: &Context<'_>) -> Result<Option<Model>, StageError> {
    if config.reward_model.is_none() {
        return Ok(None);
    }
    let folder = &context.input("reward_model").folder;
    let scorer = Model::load(folder, config.precision.into(), &inkstone_nn::device()).map_err(TrainError::from)?;
    let (got, expected) = (scorer.vocab_size(), policy.vocab_size());
    if got != expected {
        let message = format!("`reward_model` knows {got} tokens, the policy {expected}");
        return Err(StageError::failed(message, "train the reward model on the same base, or one with its tokenizer"));
    }
    crate::sft::fits(config.context, scorer.context())?;
    Ok(Some(scorer))
}

fn check_sizes(config: &PolicyConfig) -> Result<(), String> {
    let sizes = [
        ("prompts", config.prompts),
        ("answers", config.answers),
        ("minibatches", config.minibatches),
        ("epochs_per_iteration", config.epochs_per_iteration),
        ("max_new_tokens", config.max_new_tokens),
        ("pretraining.batch_size", config.pretraining.as_ref().map_or(1, |mix| mix.batch_size)),
    ];
    if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
        return Err(format!("`{name}` is 0, expected 1 or more"));
    }
    if config.steps.is_none() {
        return Err("`steps` is missing: a policy has no epochs".into());
    }
    if config.answers < 2 && config.algorithm.critic().is_none() {
        return Err("`answers` is 1, expected 2 or more: an answer is compared with the others to its prompt".into());
    }
    let weight = config.pretraining.as_ref().map_or(0.0, |mix| mix.weight);
    for (name, value) in [("kl", config.kl), ("clip_ratio", config.clip_ratio), ("pretraining.weight", weight)] {
        if !(value.is_finite() && value >= 0.0) {
            return Err(format!("`{name}` is {value}, expected 0 or more"));
        }
    }
    for (name, value) in [("kl_target", config.kl_target), ("kl_bound", config.kl_bound)] {
        if let Some(value) = value.filter(|value| !(value.is_finite() && *value > 0.0)) {
            return Err(format!("`{name}` is {value}, expected more than 0"));
        }
    }
    if config.minibatches > config.prompts * config.answers {
        return Err(format!("`minibatches` is {}, more than there are answers", config.minibatches));
    }
    Ok(())
}
