//! Texts that go on being predicted while a policy learns (`PPO-ptx`, arXiv:2203.02155, equation 2).

use std::sync::{Mutex, PoisonError};

use burn::tensor::Tensor;
use inkstone_corpus::loader::{Loader, Packing};
use inkstone_models::Model;
use inkstone_recipe::{Context, ImplicitStage};
use inkstone_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

use super::stage::PolicyConfig;
use crate::TrainError;
use crate::config::TrainingConfig;
use crate::data::Data;

/// `pretraining = { corpus = "corpus", weight = 0.5, batch_size = 4 }` of a `policy` stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainingMix {
    /// The `corpus` stage with the texts.
    pub corpus: String,
    /// Weight of their mean loss beside that of the answers (γ).
    pub weight: f64,
    /// Rows of text in each step.
    pub batch_size: usize,
}

/// Batches of text.
pub(super) struct Texts {
    loader: Mutex<Loader>,
    weight: f64,
}

impl PretrainingMix {
    /// The stage that makes tokens of the texts.
    pub(super) fn tokens(&self, base: &str) -> ImplicitStage {
        let config = serde_json::json!({"corpus": self.corpus, "tokenizer": base});
        ImplicitStage { suffix: "tokens", kind: "tokens", config }
    }

    pub(super) fn open(
        &self,
        config: &PolicyConfig,
        tokenizer: &Tokenizer,
        context: &Context<'_>,
    ) -> Result<Texts, TrainError> {
        let training = TrainingConfig { batch_size: self.batch_size, ..config.training() };
        let (folder, pad) = (&context.input("tokens").folder, tokenizer.pad().unwrap_or(0));
        let data = Data::open(folder, &training, Packing::Stream, context.seed, pad)?;
        Ok(Texts { loader: Mutex::new(data.train), weight: self.weight })
    }
}

impl Texts {
    /// The weighted mean loss of the texts of a step, with its graph; and the mean itself.
    pub(super) fn loss(&self, model: &Model, step: u64) -> (Tensor<1>, f64) {
        let batch = self.loader.lock().unwrap_or_else(PoisonError::into_inner).batch(step);
        let loss = model.loss(&batch.ids, &batch.labels, batch.batch_size, Some(&batch.starts));
        let nats = loss.losses.iter().map(|&x| f64::from(x)).sum::<f64>() / loss.counted.max(1) as f64;
        (loss.mean * self.weight, nats)
    }
}
