//! Objectives: a batch in, a loss out.

use inkstone_corpus::chat::{Message, Role};
use inkstone_corpus::loader::{Batch, Packing};
use inkstone_models::{Loss, Model};
use inkstone_tokenizer::{Tokenizer, TokenizerError};

/// What a model is trained to do with a batch.
pub trait Objective: Send + Sync {
    /// How documents become rows.
    fn packing(&self) -> Packing;

    /// The loss of one batch; its `mean` carries the graph of the backward pass.
    fn loss(&self, model: &Model, batch: &Batch) -> Loss;

    /// How a sample prompt is put to the model.
    fn prompt(&self, tokenizer: &Tokenizer, prompt: &str) -> Result<Vec<u32>, TokenizerError>;
}

/// Predict every token from those before it (arXiv:2005.14165, section 2).
#[derive(Debug, Clone, Copy)]
pub struct NextToken;

/// Predict the assistant's tokens of a conversation from all that stands before them
/// (arXiv:2203.02155, section 3.4). Which tokens those are comes with the shard as a mask.
#[derive(Debug, Clone, Copy)]
pub struct Instruction;

impl Objective for NextToken {
    fn packing(&self) -> Packing {
        Packing::Stream
    }

    fn prompt(&self, tokenizer: &Tokenizer, prompt: &str) -> Result<Vec<u32>, TokenizerError> {
        let ids = tokenizer.encode(prompt)?;
        Ok(if ids.is_empty() { tokenizer.bos().into_iter().collect() } else { ids })
    }

    fn loss(&self, model: &Model, batch: &Batch) -> Loss {
        labelled_loss(model, batch)
    }
}

impl Objective for Instruction {
    fn packing(&self) -> Packing {
        Packing::Whole
    }

    fn prompt(&self, tokenizer: &Tokenizer, prompt: &str) -> Result<Vec<u32>, TokenizerError> {
        let turn = Message { role: Role::User, content: prompt.to_owned() };
        tokenizer.encode_chat(&[turn], true)
    }

    fn loss(&self, model: &Model, batch: &Batch) -> Loss {
        labelled_loss(model, batch)
    }
}

fn labelled_loss(model: &Model, batch: &Batch) -> Loss {
    model.loss(&batch.ids, &batch.labels, batch.batch_size, Some(&batch.starts))
}
