//! The `policy` stage: a model that learns from rewards for its own answers.

use std::collections::BTreeMap;
use std::sync::Mutex;

use inkstone_corpus::Split;
use inkstone_corpus::chat::{Role, read_conversations};
use inkstone_models::Model;
use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError, Upstream};
use inkstone_tokenizer::Tokenizer;

use super::algorithm::AlgorithmTable;
use super::objective::{Prompt, Rewarded, Steps};
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
        /// The `chat` stage whose first questions are the prompts; their answers are those that are known to be right.
        chat: String,
        /// How rewards become steps.
        algorithm: AlgorithmTable,
        /// How answers are rewarded. Default: 1 for the known answer, −1 for one without an end.
        #[serde(default)]
        reward: RewardTable,
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
        /// How far from 1 the ratio of new and old probabilities still counts. Default 0.2.
        #[serde(default = "crate::config::clip_ratio")]
        clip_ratio: f64,
        /// Prompts with longer known answers are left out, in characters. Default 64.
        #[serde(default = "crate::config::known_characters")]
        max_known_characters: usize,
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
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "tunes a model on rewards for its own answers (PPO, GRPO, RLOO)";

    fn validate(config: &PolicyConfig) -> Result<(), String> {
        config.peft.as_ref().map_or(Ok(()), PeftTable::validate)?;
        config.algorithm.validate()?;
        config.reward.validate()?;
        check_sizes(config)?;
        config.training().validate()
    }

    fn inputs(config: &PolicyConfig) -> Vec<Input> {
        vec![
            Input { field: "base", stage: config.base.clone(), kinds: crate::MODELS },
            Input { field: "chat", stage: config.chat.clone(), kinds: &["chat"] },
        ]
    }

    fn estimate(config: &PolicyConfig, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate {
        let Some(shape) = probe::forecast_model(inputs.get("base")) else { return Estimate::default() };
        probe::estimate(&shape, &config.training(), inputs, machine)
    }

    fn foresee(config: &PolicyConfig, upstream: &Upstream<'_>) -> Result<(), StageError> {
        crate::sft::foresee_context(config.context, upstream)
    }

    fn run(config: &PolicyConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let training = config.training();
        let base = &context.input("base").folder;
        let tokenizer = Tokenizer::load(base).map_err(TrainError::from)?;
        let prompts = prompts(config, &tokenizer, context)?;
        let device = inkstone_nn::training_device();
        let tuning = Tuning::of(config.peft.as_ref());
        let precision = training.precision.into();
        let reference = Model::load(base, precision, &inkstone_nn::device()).map_err(TrainError::from)?;
        let plain = reference.config_json().clone();
        let mut model = tuning.load(base, (precision, &device), context.seed)?;
        crate::sft::fits(config.context, model.context())?;
        if config.algorithm.critic().is_some() {
            model = model.with_score(&device);
        }
        let objective = Rewarded {
            config,
            prompts: &prompts,
            tokenizer: &tokenizer,
            reference,
            seed: context.seed,
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

fn check_sizes(config: &PolicyConfig) -> Result<(), String> {
    let sizes = [
        ("prompts", config.prompts),
        ("answers", config.answers),
        ("minibatches", config.minibatches),
        ("epochs_per_iteration", config.epochs_per_iteration),
        ("max_new_tokens", config.max_new_tokens),
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
    for (name, value) in [("kl", config.kl), ("clip_ratio", config.clip_ratio)] {
        if !(value.is_finite() && value >= 0.0) {
            return Err(format!("`{name}` is {value}, expected 0 or more"));
        }
    }
    if config.minibatches > config.prompts * config.answers {
        return Err(format!("`minibatches` is {}, more than there are answers", config.minibatches));
    }
    Ok(())
}

/// The first question of each conversation with its answer, those that leave room for an answer.
fn prompts(config: &PolicyConfig, tokenizer: &Tokenizer, context: &Context<'_>) -> Result<Vec<Prompt>, StageError> {
    let room = config.context.saturating_sub(config.max_new_tokens + 1);
    let (mut prompts, mut long) = (Vec::new(), 0);
    for conversation in read_conversations(&context.input("chat").folder, Split::Train).map_err(TrainError::from)? {
        let messages = conversation.map_err(TrainError::from)?.messages;
        let Some(at) = messages.iter().position(|message| message.role == Role::Assistant) else { continue };
        let known = messages[at].content.clone();
        let ids = tokenizer.encode_chat(&messages[..at], true).map_err(TrainError::from)?;
        if ids.is_empty() || ids.len() > room || known.chars().count() > config.max_known_characters {
            long += 1;
        } else {
            prompts.push(Prompt { ids, known });
        }
    }
    if long > 0 {
        context.progress.warn(&format!("{long} prompts are left out: too long, or with a known answer that is"));
    }
    if prompts.is_empty() {
        return Err(StageError::failed(
            "no prompt leaves room for an answer",
            "raise `context`, or lower `max_new_tokens`",
        ));
    }
    Ok(prompts)
}
