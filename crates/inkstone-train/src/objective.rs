//! Objectives: a batch in, a loss out.
//!
//! Those that restore what was taken out of a text share one batch ([`noised::Noised`]) and one loss ([`noised::Restore`]); each file
//! below says what it takes out.

mod infilling;
pub(crate) mod masked;
mod mixture;
pub mod noised;
pub mod pairs;
mod prefix;
mod sentences;
mod span;
pub mod table;
mod words;

use std::ops::ControlFlow;

use inkstone_corpus::chat::{Message, Role};
use inkstone_corpus::loader::{Batch, Loader};
use inkstone_models::{Loss, Model};
use inkstone_tokenizer::{Tokenizer, TokenizerError};

use crate::TrainError;

/// What a model is trained to do with a batch.
pub trait Objective<B = Batch>: Send + Sync {
    /// The loss of one batch; its `mean` carries the graph of the backward pass.
    fn loss(&self, model: &Model, batch: &B) -> Result<Loss, TrainError>;

    /// Comes before each step, with the number of its first batch. Breaks where nothing more is to be learnt: training ends then.
    fn begin(&self, _model: &Model, _batch: u64) -> Result<ControlFlow<()>, TrainError> {
        Ok(ControlFlow::Continue(()))
    }

    /// What is kept of the model that the steps before the batch `_batch` made.
    fn end(&self, model: Model, _batch: u64) -> Result<Model, TrainError> {
        Ok(model)
    }

    /// What else there is to know about a batch once its loss is known, by the tags that TensorBoard shows.
    fn metrics(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// How a sample prompt is put to the model.
    fn prompt(&self, tokenizer: &Tokenizer, prompt: &str) -> Result<Vec<u32>, TokenizerError>;
}

/// Where batches come from. Batch `index` is a function of it alone, so that a run that was killed goes on as if it had not been.
pub trait Batches {
    /// What an objective is given.
    type Batch;

    /// The batch of the step `index`, pass after pass.
    fn batch(&mut self, index: u64) -> Self::Batch;

    /// Batches of one pass.
    fn batches_per_pass(&mut self) -> u64;

    /// A batch of the first pass; the last one may be smaller.
    fn pass_batch(&mut self, index: u64) -> Self::Batch;
}

impl Batches for Loader {
    type Batch = Batch;

    fn batch(&mut self, index: u64) -> Batch {
        Self::batch(self, index)
    }

    fn batches_per_pass(&mut self) -> u64 {
        Self::batches_per_pass(self)
    }

    fn pass_batch(&mut self, index: u64) -> Batch {
        Self::pass_batch(self, index)
    }
}

/// Predict every token from those before it (arXiv:2005.14165, section 2).
#[derive(Debug, Clone, Copy)]
pub struct NextToken;

/// Predict the assistant's tokens of a conversation from all that stands before them
/// (arXiv:2203.02155, section 3.4). Which tokens those are comes with the shard as a mask.
#[derive(Debug, Clone, Copy)]
pub struct Instruction;

impl Objective for NextToken {
    fn prompt(&self, tokenizer: &Tokenizer, prompt: &str) -> Result<Vec<u32>, TokenizerError> {
        let ids = tokenizer.encode(prompt)?;
        Ok(if ids.is_empty() { tokenizer.bos().into_iter().collect() } else { ids })
    }

    fn loss(&self, model: &Model, batch: &Batch) -> Result<Loss, TrainError> {
        Ok(labelled_loss(model, batch))
    }
}

impl Objective for Instruction {
    fn prompt(&self, tokenizer: &Tokenizer, prompt: &str) -> Result<Vec<u32>, TokenizerError> {
        ask(tokenizer, prompt)
    }

    fn loss(&self, model: &Model, batch: &Batch) -> Result<Loss, TrainError> {
        Ok(labelled_loss(model, batch))
    }
}

/// A user's turn up to where the answer begins.
pub(crate) fn ask(tokenizer: &Tokenizer, prompt: &str) -> Result<Vec<u32>, TokenizerError> {
    tokenizer.encode_chat(&[Message { role: Role::User, content: prompt.to_owned() }], true)
}

fn labelled_loss(model: &Model, batch: &Batch) -> Loss {
    model.loss(&batch.ids, &batch.labels, batch.batch_size, Some(&batch.starts))
}
