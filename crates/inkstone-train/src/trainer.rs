//! The one training loop.

use inkstone_corpus::loader::Batch;
use inkstone_kernels::profile;
use inkstone_models::Model;
use inkstone_recipe::{Context, Task};
use inkstone_tokenizer::Tokenizer;

use crate::TrainError;
use crate::checkpoint::Checkpoints;
use crate::config::TrainingConfig;
use crate::log::RunLog;
use crate::objective::{Batches, Objective};
use crate::optimizer::Optimizer;
use crate::validation::{ValidationLoss, validation_loss};

/// What a run trains on and how.
pub struct Run<'a, B = Batch> {
    /// The recipe's settings.
    pub training: &'a TrainingConfig,
    /// What to do with a batch.
    pub objective: &'a dyn Objective<B>,
    /// For samples.
    pub tokenizer: &'a Tokenizer,
    /// Nats to bits per byte: tokens over bytes of the validation split, where bytes are known.
    pub tokens_per_byte: Option<f64>,
    /// Folders, progress, interrupt.
    pub context: &'a Context<'a>,
}

/// A trained model with what the training tells of it.
pub struct Trained {
    /// The model after the last step.
    pub model: Model,
    /// Optimiser steps taken.
    pub steps: u64,
    /// Mean training loss of the last steps.
    pub train_loss: f64,
    /// Loss over the whole validation split, where it has any tokens.
    pub validation: Option<ValidationLoss>,
    /// Wall seconds of the steps, interrupted attempts included.
    pub seconds: f64,
}

/// Trains `model` until the recipe's number of steps, from the newest checkpoint where there is one.
pub fn train<D: Batches>(
    model: Model,
    data: (&mut D, Option<&mut D>),
    run: &Run<'_, D::Batch>,
) -> Result<Trained, TrainError> {
    let (loader, mut validation) = data;
    let config = run.training;
    let steps = config.total_steps(loader.batches_per_pass());
    let checkpoints = Checkpoints::new(run.context.state());
    let mut optimizer = Optimizer::new(&model, config.optimizer.clone());
    let (mut model, mut step) = checkpoints.resume(model, &mut optimizer, run.context.progress)?;
    let mut log = RunLog::resume(&run.context.state().join("logs"), step)?;
    let bar = run.context.progress.task("training", Some(steps * config.tokens_per_step()), "tokens");

    while step < steps && run.objective.begin(&model, step * config.accumulate as u64)?.is_continue() {
        // 1) The gradient of one batch, summed over `accumulate` parts of it.
        let (started, span) = (std::time::Instant::now(), profile::mark(crate::STEP));
        let loss = gradient(&model, loader, &mut optimizer, (run, step))?;

        // 2) One step of AdamW, at the scheduled rate, with the norm clipped.
        let norm = optimizer.gradient_norm();
        let rate = config.optimizer.learning_rate * config.schedule.factor(step, steps);
        check_finite(step, (loss, norm), rate, &log, &optimizer)?;
        model = optimizer.step(model, rate, norm, config.clip);
        step += 1;
        drop(span);

        // 3) What happened, to the log and to the person who waits.
        let tokens = step * config.tokens_per_step();
        let speed = config.tokens_per_step() as f64 / started.elapsed().as_secs_f64();
        let mut values =
            vec![("train/loss", loss), ("train/lr", rate), ("train/grad_norm", norm), ("train/tok_per_sec", speed)];
        values.extend(run.objective.metrics());
        log.metrics(step, tokens, &values)?;
        show(bar.as_ref(), tokens, loss);
        if due(step, config.evaluate_every)
            && step < steps
            && let Some(loader) = validation.as_deref_mut()
        {
            let loss = validation_loss(&model, run.objective, loader, Some(config.evaluate_batches))?;
            report_validation(run, &mut log, (step, steps), loss)?;
        }
        if due(step, config.sample_every) && step < steps {
            sample(&model, run, &mut log, step)?;
        }

        // 4) What survives a kill.
        let stop = run.context.interrupt.requested();
        if step < steps && (stop || due(step, config.checkpoint_every)) {
            log.flush()?;
            checkpoints.save(step, &model, &optimizer)?;
        }
        if stop {
            return Err(TrainError::Interrupted);
        }
    }
    drop(bar);
    let model = run.objective.end(model, step * config.accumulate as u64)?;
    finish(model, run, (log, step), validation)
}

/// The last validation and samples, and the logs for others to see.
fn finish<D: Batches>(
    model: Model,
    run: &Run<'_, D::Batch>,
    (mut log, steps): (RunLog, u64),
    validation: Option<&mut D>,
) -> Result<Trained, TrainError> {
    let seconds = log.seconds();
    let validation = validation.map(|loader| validation_loss(&model, run.objective, loader, None)).transpose()?;
    if let Some(loss) = validation {
        report_validation(run, &mut log, (steps, steps), loss)?;
    }
    sample(&model, run, &mut log, steps)?;
    log.flush()?;
    crate::log::publish(&run.context.state().join("logs"), &run.context.out().join("logs"))?;
    Ok(Trained { model, steps, train_loss: log.mean_recent_loss(), validation, seconds })
}

/// Adds the gradient of the batch of `step`, in parts, to what the optimiser has gathered; the mean loss.
fn gradient<D: Batches>(
    model: &Model,
    loader: &mut D,
    optimizer: &mut Optimizer,
    (run, step): (&Run<'_, D::Batch>, u64),
) -> Result<f64, TrainError> {
    let parts = run.training.accumulate as u64;
    let (mut nats, mut labelled) = (0.0, 0);
    for part in 0..parts {
        let batch = loader.batch(step * parts + part);
        let loss = run.objective.loss(model, &batch)?;
        nats += loss.losses.iter().map(|&x| f64::from(x)).sum::<f64>();
        labelled += loss.counted;
        let mut gradients = loss.mean.backward();
        optimizer.accumulate(model, &mut gradients, loss.counted);
    }
    Ok(nats / labelled.max(1) as f64)
}

fn due(step: u64, every: u64) -> bool {
    every > 0 && step.is_multiple_of(every)
}

fn show(bar: &dyn Task, tokens: u64, loss: f64) {
    bar.set(tokens);
    bar.note(&format!("loss {loss:.3}"));
}

fn check_finite(
    step: u64,
    (loss, norm): (f64, f64),
    rate: f64,
    log: &RunLog,
    optimizer: &Optimizer,
) -> Result<(), TrainError> {
    if loss.is_finite() && norm.is_finite() {
        return Ok(());
    }
    let (what, value) = if loss.is_finite() { ("gradient norm", norm) } else { ("loss", loss) };
    Err(TrainError::NotFinite {
        step: step + 1,
        what,
        value,
        parameter: optimizer.non_finite().map(str::to_owned),
        learning_rate: rate,
        last_losses: log.last_losses(5),
    })
}

fn report_validation<B>(
    run: &Run<'_, B>,
    log: &mut RunLog,
    (step, steps): (u64, u64),
    loss: ValidationLoss,
) -> Result<(), TrainError> {
    let bits = run.tokens_per_byte.map(|ratio| loss.mean * ratio / std::f64::consts::LN_2);
    let mut values = vec![("val/loss", loss.mean)];
    values.extend(bits.map(|bits| ("val/bpb", bits)));
    let bits = bits.map(|bits| format!(", {bits:.3} bits per byte")).unwrap_or_default();
    run.context.progress.say(&format!("step {step}/{steps}: validation loss {:.4}{bits}", loss.mean));
    log.metrics(step, step * run.training.tokens_per_step(), &values)
}

/// Lets the model go on from each prompt of the recipe.
fn sample<B>(model: &Model, run: &Run<'_, B>, log: &mut RunLog, step: u64) -> Result<(), TrainError> {
    let model = model.valid();
    for (index, prompt) in run.training.sample_prompts.iter().enumerate() {
        let ids = run.objective.prompt(run.tokenizer, prompt)?;
        let options = inkstone_engine::Sampling {
            max_new_tokens: run.training.sample_tokens,
            temperature: 0.8,
            top_k: Some(50),
            stop_ids: run.tokenizer.stop_ids(),
            seed: run.context.seed.wrapping_add(index as u64),
            ..inkstone_engine::Sampling::greedy()
        };
        let ids = inkstone_engine::generate(&model, &ids, &options, &mut |_| std::ops::ControlFlow::Continue(()))?;
        let text = run.tokenizer.decode(&ids)?;
        run.context.progress.say(&format!("  {prompt} → {}", text.replace('\n', " / ")));
        log.sample(step, prompt, &text)?;
    }
    Ok(())
}
