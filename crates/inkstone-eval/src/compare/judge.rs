//! The loss of every token of a document, by a model of any generation.

use std::path::Path;

use inkstone_classic::neural::AnyModel;
use inkstone_classic::ngram::model::{Model as Ngram, State};
use inkstone_classic::ngram::{END, UNKNOWN, Unit, WordId, folder};
use inkstone_models::Model;
use inkstone_recipe::Interrupt;
use inkstone_tokenizer::Tokenizer;

use crate::EvalError;
use crate::text::token_losses;

/// A model that judges documents of token ids which end with the end-of-text id.
pub(super) enum Judge {
    Ngram(Box<NgramJudge>),
    Network(AnyModel),
    Transformer(Box<Model>),
}

impl Judge {
    /// Opens the model of a folder, which must have been made with `tokenizer`.
    pub(super) fn open(name: &str, path: &Path, tokenizer: &Tokenizer) -> Result<Self, EvalError> {
        let unlike = |what: &str| EvalError::Unlike { model: name.to_owned(), what: what.to_owned() };
        if folder::is_ngram_folder(path) {
            let (model, splitter) = folder::load(path)?;
            let own = splitter.tokenizer().ok_or_else(|| unlike("is not over a tokenizer's ids"))?;
            same(own, tokenizer).then_some(()).ok_or_else(|| unlike("has another tokenizer"))?;
            debug_assert_eq!(splitter.unit(), Unit::Tokens);
            return Ok(Self::Ngram(Box::new(NgramJudge::new(model, tokenizer.vocab_size()))));
        }
        same(&Tokenizer::load(path)?, tokenizer).then_some(()).ok_or_else(|| unlike("has another tokenizer"))?;
        if AnyModel::is_in(path) {
            return Ok(Self::Network(AnyModel::load(path)?));
        }
        let model = Model::load(path, inkstone_nn::Precision::F32, &inkstone_nn::device())?;
        Ok(Self::Transformer(Box::new(model)))
    }

    /// The loss (nats) of each token of a document but the first.
    pub(super) fn losses(&self, document: &[u32], interrupt: &Interrupt) -> Result<Vec<f32>, EvalError> {
        match self {
            Self::Ngram(ngram) => Ok(ngram.losses(document)),
            Self::Network(network) => Ok(network.stream_losses(document, None, &mut |_| !interrupt.requested())?),
            Self::Transformer(model) => token_losses(model, document, model.context(), (interrupt, &mut |_, _| {})),
        }
    }
}

/// Whether two tokenizers have the same tokens.
fn same(a: &Tokenizer, b: &Tokenizer) -> bool {
    a.vocab_size() == b.vocab_size() && (0..a.vocab_size() as u32).all(|id| a.token(id) == b.token(id))
}

/// An n-gram model over the ids of a tokenizer.
pub(super) struct NgramJudge {
    model: Ngram,
    words: Vec<WordId>,
    /// Nats by which an id that the model never saw is less likely than the one unknown word that stands for them all.
    unknown: f32,
}

impl NgramJudge {
    fn new(model: Ngram, vocab_size: usize) -> Self {
        let words: Vec<WordId> = (0..vocab_size).map(|id| model.vocabulary().id(&id.to_string())).collect();
        let unseen = words.iter().filter(|&&word| word == UNKNOWN).count();
        Self { model, words, unknown: (unseen.max(1) as f32).ln() }
    }

    fn losses(&self, document: &[u32]) -> Vec<f32> {
        let scorer = self.model.scorer();
        let (mut before, mut after) = (scorer.begin(), State::default());
        let mut losses = Vec::with_capacity(document.len());
        for (n, &id) in document.iter().enumerate() {
            let word = if n + 1 == document.len() { END } else { self.words[id as usize] };
            let nats = -(scorer.score(&before, word, &mut after).log10 * std::f64::consts::LN_10) as f32;
            losses.push(if word == UNKNOWN { nats + self.unknown } else { nats });
            std::mem::swap(&mut before, &mut after);
        }
        losses.split_off(1.min(losses.len()))
    }
}
