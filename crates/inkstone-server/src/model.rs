//! The models that are served.

use std::sync::Arc;

use inkstone_engine::{Draft, Engine, Limits, PromptLookup, Sampling, SmallModel};
use inkstone_models::{Kind, Model};
use inkstone_tokenizer::Tokenizer;

use crate::constraint::Grammars;
use crate::error::{ApiError, ServerError};

/// A model that was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// What clients call it.
    pub name: String,
    /// The model.
    pub model: Model,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// How tokens are drawn where a request does not say.
    pub defaults: Sampling,
    /// A smaller model of the same vocabulary, which guesses tokens ahead; without one they are looked up in the text before.
    pub draft: Option<Arc<Model>>,
}

/// A model with its engine.
pub(crate) struct Served {
    pub(crate) name: String,
    pub(crate) model: Arc<Model>,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) defaults: Sampling,
    draft: Option<Arc<Model>>,
    /// Models that write have one.
    engine: Option<Arc<Engine>>,
    pub(crate) grammars: Grammars,
    /// When it was ready, in seconds since 1970.
    pub(crate) created: u64,
}

impl Served {
    pub(crate) fn start(loaded: Loaded, limits: Limits) -> Result<Self, ServerError> {
        let Loaded { name, model, tokenizer, defaults, draft } = loaded;
        let model = Arc::new(model);
        let engine = match model.kind() {
            Kind::Decoder | Kind::EncoderDecoder => {
                let engine = Engine::start(Arc::clone(&model), limits);
                Some(Arc::new(engine.map_err(|source| ServerError::Engine { name: name.clone(), source })?))
            }
            Kind::Encoder => None,
        };
        let tokenizer = Arc::new(tokenizer);
        let grammars = Grammars::new(Arc::clone(&tokenizer), model.vocab_size());
        Ok(Self { name, model, tokenizer, defaults, draft, engine, grammars, created: now() })
    }

    /// Who guesses tokens ahead.
    pub(crate) fn drafter(&self) -> Box<dyn Draft> {
        match &self.draft {
            Some(model) => Box::new(SmallModel::new(Arc::clone(model))),
            None => Box::new(PromptLookup),
        }
    }

    /// A prompt as the model wants it: the source of an encoder-decoder ends with the end-of-text token.
    pub(crate) fn prompt(&self, mut ids: Vec<u32>) -> Vec<u32> {
        if self.model.kind() == Kind::EncoderDecoder && ids.last().copied() != self.tokenizer.eos() {
            ids.extend(self.tokenizer.eos());
        }
        ids
    }

    /// The engine.
    ///
    /// # Errors
    /// If the model does not go on from a text.
    pub(crate) fn engine(&self) -> Result<&Arc<Engine>, ApiError> {
        let message = || format!("`{}` is no decoder: it serves embeddings alone", self.name);
        self.engine.as_ref().ok_or_else(|| ApiError::field("model", message()))
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
