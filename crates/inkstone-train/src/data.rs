//! The loaders of a training run.

use std::path::Path;
use std::sync::Arc;

use inkstone_corpus::Split;
use inkstone_corpus::loader::{Loader, LoaderConfig, Packing};
use inkstone_corpus::shards::TokenShard;

use crate::TrainError;
use crate::config::TrainingConfig;

/// Training batches, and validation batches where the split has any tokens.
pub(crate) struct Data<D = Loader> {
    pub(crate) train: D,
    pub(crate) validation: Option<D>,
}

impl Data {
    /// The same batches, changed by `f`.
    pub(crate) fn map<D>(self, f: impl Fn(Loader) -> D) -> Data<D> {
        Data { train: f(self.train), validation: self.validation.map(f) }
    }

    /// Opens both splits of the `tokens` artifact.
    pub(crate) fn open(
        tokens: &Path,
        config: &TrainingConfig,
        packing: Packing,
        seed: u64,
        pad_id: u32,
    ) -> Result<Self, TrainError> {
        let shard = open(tokens, Split::Train)?;
        let n_tokens = shard.n_tokens();
        if n_tokens == 0 {
            return Err(TrainError::NoTokens { split: "train", path: tokens.to_owned() });
        }
        if (config.context as u64) > n_tokens {
            return Err(TrainError::ContextTooLong { context: config.context, tokens: n_tokens });
        }
        let loader = |shard| Loader::new(shard, loader_config(config, packing, seed, pad_id));
        let validation = open(tokens, Split::Validation)?;
        Ok(Self {
            train: loader(shard)?,
            validation: if validation.n_tokens() == 0 { None } else { Some(loader(validation)?) },
        })
    }
}

/// Opens a split and compares it with its hash: a flipped bit would train on another token.
fn open(tokens: &Path, split: Split) -> Result<Arc<TokenShard>, TrainError> {
    let shard = TokenShard::open(tokens, split)?;
    shard.check()?;
    Ok(Arc::new(shard))
}

fn loader_config(config: &TrainingConfig, packing: Packing, seed: u64, pad_id: u32) -> LoaderConfig {
    LoaderConfig {
        batch_size: config.batch_size,
        context: config.context,
        packing,
        separate_documents: config.separate_documents,
        shuffle: true,
        seed,
        pad_id,
    }
}
