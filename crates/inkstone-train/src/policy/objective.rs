//! Rollouts, judgement and the clipped objective, as an objective of the training loop.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};
use inkstone_models::{Loss, Model};
use inkstone_recipe::fs;
use inkstone_tokenizer::{Tokenizer, TokenizerError};
use serde::{Deserialize, Serialize};

use super::penalty;
use super::prompts::Prompt;
use super::ptx::Texts;
use super::rollout::{Generator, Rollout, end_of_turn, mix, sampling};
use super::stage::PolicyConfig;
use super::surrogate::{Tokens, value_losses};
use crate::TrainError;
use crate::checkpoint::{read_weights, write_weights};
use crate::objective::{Batches, Objective, ask};
use crate::preference::{Encoded, order, padded};
use crate::reward::scores;

/// Steps of a run: a batch is its own number.
pub(super) struct Steps(pub(super) u64);

impl Batches for Steps {
    type Batch = u64;

    fn batch(&mut self, index: u64) -> u64 {
        index
    }

    fn batches_per_pass(&mut self) -> u64 {
        self.0
    }

    fn pass_batch(&mut self, index: u64) -> u64 {
        index
    }
}

/// The rollouts of one iteration.
#[derive(Default, Serialize, Deserialize)]
struct Iteration {
    /// Strength of the pull towards the reference.
    kl: f64,
    rollouts: Vec<Rollout>,
}

impl Iteration {
    /// How far from the reference its answers were said, in nats per answer.
    fn divergence(&self) -> f64 {
        self.rollouts.iter().map(Rollout::divergence).sum::<f64>() / self.rollouts.len().max(1) as f64
    }
}

/// A policy that learns from rewards.
pub(super) struct Rewarded<'a> {
    pub(super) config: &'a PolicyConfig,
    pub(super) prompts: &'a [Prompt],
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) reference: Model,
    /// A reward model.
    pub(super) scorer: Option<Model>,
    pub(super) seed: u64,
    pub(super) pretraining: Option<Texts>,
    /// Where rollouts are kept, so that a run that was killed amid an iteration goes on with the same.
    pub(super) folder: PathBuf,
    pub(super) state: Mutex<State>,
}

/// What is remembered between steps.
#[derive(Default)]
pub(super) struct State {
    number: Option<u64>,
    iteration: Iteration,
    seen: Vec<(&'static str, f64)>,
}

/// Rows of a pass without a graph.
const ROWS: usize = 16;

impl Rewarded<'_> {
    /// Reads or makes the rollouts of an iteration; `before` is the one before it.
    fn collect(&self, model: &Model, number: u64, before: &Iteration) -> Result<Iteration, TrainError> {
        if let Some(kept) = self.kept(number)? {
            return Ok(kept);
        }
        let mut rollouts = self.answer(&model.valid(), number)?;
        let kl = self.strength(before);
        let penalty = if self.config.algorithm.penalises_in_loss() { 0.0 } else { kl };
        self.config.algorithm.advantages(&mut rollouts, self.config.answers, penalty);
        let iteration = Iteration { kl, rollouts };
        fs::create_dir_all(&self.folder)?;
        if self.config.kl_bound.is_some() && !self.is_outside(&iteration) {
            write_weights(&self.inside(), model)?;
        }
        fs::write_atomic(&self.path(number), &serde_json::to_vec(&iteration).expect("invariant: plain data"))?;
        Ok(iteration)
    }

    /// Whether a policy that answers so is beyond the bound.
    fn is_outside(&self, iteration: &Iteration) -> bool {
        self.config.kl_bound.is_some_and(|bound| iteration.divergence() > bound)
    }

    /// The weights of the last policy that was inside the bound.
    fn inside(&self) -> PathBuf {
        self.folder.join("inside.safetensors")
    }

    /// Batches of an iteration.
    fn updates(&self) -> u64 {
        (self.config.epochs_per_iteration * self.config.minibatches) as u64
    }

    /// Sees to it that the state is that of the iteration `number`.
    fn enter(&self, state: &mut State, model: &Model, number: u64) -> Result<(), TrainError> {
        if state.number != Some(number) {
            // After a kill the iteration before is read, not made.
            let before = match number.checked_sub(1) {
                Some(before) if state.number != Some(before) => self.kept(before)?.unwrap_or_default(),
                _ => std::mem::take(&mut state.iteration),
            };
            state.iteration = self.collect(model, number, &before)?;
            state.number = Some(number);
        }
        Ok(())
    }

    /// The rollouts of an iteration, where they were made before the run was killed.
    fn kept(&self, number: u64) -> Result<Option<Iteration>, TrainError> {
        let path = self.path(number);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = fs::read(&path, 1 << 30)?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| TrainError::Checkpoint { path, what: error.to_string() })
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("rollouts-{number:07}.json"))
    }

    /// The strength of the pull after an iteration.
    fn strength(&self, before: &Iteration) -> f64 {
        match self.config.kl_target {
            Some(target) if !before.rollouts.is_empty() => penalty::adapted(before.kl, before.divergence(), target),
            _ => self.config.kl,
        }
    }

    /// Answers to the prompts of an iteration, judged, with their log-probabilities.
    fn answer(&self, model: &Model, number: u64) -> Result<Vec<Rollout>, TrainError> {
        let (group, count) = (self.config.answers, self.config.prompts);
        let first = number * count as u64;
        let n = self.prompts.len() as u64;
        let chosen = (first..first + count as u64).map(|at| order(self.seed, at / n, n as usize)[(at % n) as usize]);
        let asked: Vec<usize> = chosen.flat_map(|prompt| std::iter::repeat_n(prompt, group)).collect();
        let seeds: Vec<u64> = (0..asked.len() as u64).map(|at| mix(self.seed, number, at)).collect();
        let prompts: Vec<&[u32]> = asked.iter().map(|&prompt| self.prompts[prompt].ids.as_slice()).collect();
        let answers = model.answers(&prompts, &sampling(self.tokenizer, self.config.max_new_tokens), &seeds)?;
        let mut rollouts: Vec<Rollout> =
            asked.into_iter().zip(answers).map(|(prompt, ids)| self.rollout(prompt, ids)).collect::<Result<_, _>>()?;
        for chunk in rollouts.chunks_mut(ROWS) {
            self.weigh(model, chunk);
            self.score(chunk)?;
        }
        Ok(rollouts)
    }

    /// An answer with its reward. One that ended has the token that ended it, too: ending is learnt.
    fn rollout(&self, prompt: usize, mut ids: Vec<u32>) -> Result<Rollout, TrainError> {
        let text = self.tokenizer.decode(&ids)?;
        let finished = ids.len() < self.config.max_new_tokens;
        if finished {
            ids.extend(end_of_turn(self.tokenizer));
        }
        let mut rollout = Rollout { prompt, ids, finished, ..Rollout::default() };
        rollout.reward = self.config.reward.judge(&rollout, &text, &self.prompts[prompt].judged);
        Ok(rollout)
    }

    /// Adds the reward model's score, where there is one.
    fn score(&self, rollouts: &mut [Rollout]) -> Result<(), TrainError> {
        let rows: Vec<Encoded> = rollouts.iter().map(|rollout| self.row(rollout)).collect();
        let rows: Vec<&Encoded> = rows.iter().collect();
        let scores = self.scorer.as_ref().and_then(|scorer| scores(scorer, &rows, 0)).map(crate::preference::numbers);
        for (n, rollout) in rollouts.iter_mut().enumerate() {
            rollout.reward += scores.as_ref().map_or(0.0, |scores| f64::from(scores[n]));
            if !rollout.reward.is_finite() {
                let text = self.tokenizer.decode(&rollout.ids)?;
                return Err(TrainError::Reward { text, value: rollout.reward });
            }
        }
        Ok(())
    }

    /// Log-probabilities under policy and reference, and values.
    fn weigh(&self, model: &Model, rollouts: &mut [Rollout]) {
        let rows: Vec<Encoded> = rollouts.iter().map(|rollout| self.row(rollout)).collect();
        let (ids, labels) = padded(&rows.iter().collect::<Vec<_>>(), 0);
        let (values, now) = model.scores_and_log_probabilities(&ids, &labels, rows.len());
        let reference = self.reference.log_probabilities(&ids, &labels, rows.len(), None);
        let width = ids.len() / rows.len().max(1);
        let [now, reference] = [now, reference].map(crate::preference::numbers);
        let values = values.map(crate::preference::numbers);
        for (n, rollout) in rollouts.iter_mut().enumerate() {
            let from = n * width + self.prompts[rollout.prompt].ids.len() - 1;
            let range = from..from + rollout.ids.len();
            rollout.old = now[range.clone()].to_vec();
            rollout.reference = reference[range.clone()].to_vec();
            rollout.values = values.as_ref().map_or_else(Vec::new, |values| values[range].to_vec());
        }
    }

    fn row(&self, rollout: &Rollout) -> Encoded {
        Encoded::answer(&self.prompts[rollout.prompt].ids, &rollout.ids)
    }

    /// Numbers of each token where they stand in the rows of a batch, `[k, t]`.
    fn place(
        &self,
        rollouts: &[&Rollout],
        width: usize,
        device: &Device,
        of: impl Fn(&Rollout) -> &[f32],
    ) -> Tensor<2> {
        let mut all = vec![0.0; rollouts.len() * width];
        for (n, rollout) in rollouts.iter().enumerate() {
            let from = n * width + self.prompts[rollout.prompt].ids.len() - 1;
            all[from..from + of(rollout).len()].copy_from_slice(of(rollout));
        }
        Tensor::from_data(TensorData::new(all, [rollouts.len(), width]), device)
    }

    fn minibatch<'b>(&self, rollouts: &'b [Rollout], step: u64) -> Vec<&'b Rollout> {
        let size = rollouts.len().div_ceil(self.config.minibatches);
        let (epoch, part) = (step / self.config.minibatches as u64, step as usize % self.config.minibatches);
        let order = order(self.seed, epoch, rollouts.len());
        order.into_iter().skip(part * size).take(size).map(|at| &rollouts[at]).collect()
    }

    fn step_loss(&self, model: &Model, (rollouts, kl): (&[&Rollout], f64)) -> (Loss, Tokens) {
        let rows: Vec<Encoded> = rollouts.iter().map(|rollout| self.row(rollout)).collect();
        let (ids, labels) = padded(&rows.iter().collect::<Vec<_>>(), 0);
        let (scores, now) = model.scores_and_log_probabilities(&ids, &labels, rows.len());
        let (k, width, device) = (rows.len(), ids.len() / rows.len().max(1), now.device());
        let place = |of: fn(&Rollout) -> &[f32]| self.place(rollouts, width, &device, of);
        let mask = labels.iter().map(|&label| if label < 0 { 0.0 } else { 1.0 }).collect::<Vec<f32>>();
        let tokens = Tokens {
            now: now.reshape([k, width]),
            old: place(|rollout| &rollout.old),
            reference: place(|rollout| &rollout.reference),
            advantages: place(|rollout| &rollout.advantages),
            mask: Tensor::from_data(TensorData::new(mask, [k, width]), &device),
        };
        let kl = if self.config.algorithm.penalises_in_loss() { kl } else { 0.0 };
        let mut each = tokens.losses(self.config.clip_ratio, kl);
        if let (Some(ppo), Some(scores)) = (self.config.algorithm.critic(), scores) {
            let (old, returns) = (place(|rollout| &rollout.values), place(|rollout| &rollout.returns));
            let off = value_losses(scores.reshape([k, width]), old, &returns, ppo.value_clip);
            each = each + tokens.mean(off) * ppo.value_weight;
        }
        let losses = crate::preference::numbers(each.clone());
        (Loss { mean: each.mean(), counted: losses.len(), losses }, tokens)
    }
}

impl Objective<u64> for Rewarded<'_> {
    fn begin(&self, model: &Model, batch: u64) -> Result<ControlFlow<()>, TrainError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.enter(&mut state, model, batch / self.updates())?;
        Ok(if self.is_outside(&state.iteration) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// The policy; where there is a bound, it is asked once more, and the last one inside takes its place if it is outside.
    fn end(&self, model: Model, batch: u64) -> Result<Model, TrainError> {
        if self.config.kl_bound.is_none() {
            return Ok(model);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let number = batch.div_ceil(self.updates());
        self.enter(&mut state, &model, number)?;
        let model = if self.is_outside(&state.iteration) {
            state.iteration = self.kept(number.saturating_sub(1))?.unwrap_or_default();
            read_weights(&self.inside(), model)?
        } else {
            model
        };
        let mut seen = summary(&state.iteration.rollouts);
        seen.push(("policy/kl_strength", state.iteration.kl));
        state.seen = seen;
        Ok(model)
    }

    fn loss(&self, model: &Model, &step: &u64) -> Result<Loss, TrainError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.enter(&mut state, model, step / self.updates())?;
        let minibatch = self.minibatch(&state.iteration.rollouts, step);
        let (mut loss, tokens) = self.step_loss(model, (&minibatch, state.iteration.kl));
        let mut seen = summary(&state.iteration.rollouts);
        seen.push(("policy/kl_strength", state.iteration.kl));
        seen.push(("policy/clip_fraction", tokens.clipped(self.config.clip_ratio)));
        if let Some(texts) = &self.pretraining {
            let (mean, nats) = texts.loss(model, step);
            loss.mean = loss.mean + mean;
            seen.push(("policy/pretraining_loss", nats));
        }
        state.seen = seen;
        Ok(loss)
    }

    fn metrics(&self) -> Vec<(&'static str, f64)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).seen.clone()
    }

    fn prompt(&self, tokenizer: &Tokenizer, prompt: &str) -> Result<Vec<u32>, TokenizerError> {
        ask(tokenizer, prompt)
    }
}

/// What is known of an iteration's answers.
fn summary(rollouts: &[Rollout]) -> Vec<(&'static str, f64)> {
    let n = rollouts.len().max(1) as f64;
    let mean = |of: &dyn Fn(&Rollout) -> f64| rollouts.iter().map(of).sum::<f64>() / n;
    let tokens = rollouts.iter().map(|rollout| rollout.old.len()).sum::<usize>().max(1) as f64;
    let reward = mean(&|rollout| rollout.reward);
    let surprise = rollouts.iter().flat_map(|rollout| &rollout.old).map(|&x| -f64::from(x)).sum::<f64>();
    let mut seen = vec![
        ("policy/reward", reward),
        ("policy/reward_deviation", mean(&|rollout| (rollout.reward - reward).powi(2)).sqrt()),
        ("policy/kl", mean(&Rollout::divergence)),
        ("policy/entropy", surprise / tokens),
        ("policy/length", tokens / n),
        ("policy/unfinished", mean(&|rollout| if rollout.finished { 0.0 } else { 1.0 })),
    ];
    seen.extend(explained(rollouts).map(|share| ("policy/explained_variance", share)));
    seen
}

/// The share of the returns' variance that the values foresaw, where there are values.
fn explained(rollouts: &[Rollout]) -> Option<f64> {
    let pairs: Vec<(f64, f64)> = rollouts
        .iter()
        .flat_map(|rollout| rollout.returns.iter().zip(&rollout.values))
        .map(|(&a, &b)| (f64::from(a), f64::from(b)))
        .collect();
    let variance = |of: &dyn Fn(&(f64, f64)) -> f64| {
        let mean = pairs.iter().map(of).sum::<f64>() / pairs.len() as f64;
        pairs.iter().map(|pair| (of(pair) - mean).powi(2)).sum::<f64>() / pairs.len() as f64
    };
    (!pairs.is_empty()).then(|| 1.0 - variance(&|(a, b)| a - b) / variance(&|(a, _)| *a).max(1e-12))
}
