//! What the training stages share after the loop: the model folder and the metrics.

use std::path::Path;

use inkstone_models::Model;
use inkstone_recipe::{Metrics, StageError};
use serde_json::json;

use crate::TrainError;
use crate::peft::Tuning;
use crate::trainer::{Run, Trained};

/// Files that make a model folder speak the tokenizer's language.
const TOKENIZER_FILES: [&str; 3] = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"];

/// Writes the Hugging Face folder (with the tokenizer of the folder `base`) and returns the metrics.
pub(crate) fn finish<B>(
    trained: &Trained,
    run: &Run<'_, B>,
    (base, tuning): (&Path, &Tuning),
) -> Result<Metrics, StageError> {
    let out = run.context.out();
    tuning.save(&trained.model, base, out)?;
    write_generation_config(run)?;
    for name in TOKENIZER_FILES {
        let path = base.join(name);
        if path.exists() {
            std::fs::copy(&path, out.join(name)).map_err(|source| TrainError::Log { path, source })?;
        }
    }
    Ok(metrics(trained, run))
}

/// `generation_config.json`: how the model is meant to be sampled, and where an answer ends.
fn write_generation_config<B>(run: &Run<'_, B>) -> Result<(), StageError> {
    let tokenizer = run.tokenizer;
    let config = json!({
        "bos_token_id": tokenizer.bos(),
        "eos_token_id": tokenizer.stop_ids(),
        "pad_token_id": tokenizer.pad(),
        "do_sample": true,
        "temperature": 0.7,
        "top_p": 0.95,
    });
    let path = run.context.out().join("generation_config.json");
    let text = serde_json::to_string_pretty(&config).expect("invariant: plain data") + "\n";
    std::fs::write(&path, text).map_err(|source| TrainError::Log { path, source }.into())
}

fn metrics<B>(trained: &Trained, run: &Run<'_, B>) -> Metrics {
    let config = run.training;
    let tokens = trained.steps * config.tokens_per_step();
    let flops = trained.model.flops_per_token(config.context) * tokens as f64;
    let mut metrics = Metrics::new();
    metrics.insert("parameters".into(), trained.model.n_parameters().into());
    metrics.insert("trainable_parameters".into(), trainable(&trained.model).into());
    metrics.insert("vocab_size".into(), trained.model.vocab_size().into());
    metrics.insert("steps".into(), trained.steps.into());
    metrics.insert("tokens".into(), tokens.into());
    metrics.insert("flops".into(), flops.into());
    metrics.insert("tokens_per_second".into(), (tokens as f64 / trained.seconds.max(1e-9)).into());
    metrics.insert("train_loss".into(), trained.train_loss.into());
    if let Some(loss) = trained.validation {
        metrics.insert("loss".into(), loss.mean.into());
        metrics.insert("perplexity".into(), loss.mean.exp().into());
        if let Some(ratio) = run.tokens_per_byte {
            metrics.insert("bits_per_byte".into(), (loss.mean * ratio / std::f64::consts::LN_2).into());
        }
    }
    metrics
}

/// Numbers that are trained.
pub(crate) fn trainable(model: &Model) -> u64 {
    let mut count = 0;
    model.visit_trainable(&mut |_, _, values| count += values.len() as u64);
    count
}

/// Tokens over bytes of the validation split, from the metrics of a `tokens` artifact.
pub(crate) fn tokens_per_byte(metrics: &Metrics) -> Option<f64> {
    let number = |name: &str| metrics.get(name).and_then(serde_json::Value::as_f64).filter(|&x| x > 0.0);
    Some(number("validation_tokens")? / number("validation_bytes")?)
}
