//! Encoder-decoders: the prompt is the source, the answer its target. Every request has a cache of its own, and each step computes a token of every
//! one in turn.

use std::time::Instant;

use inkstone_kernels::awake;
use inkstone_models::{Cache, Kind, Model, Source};

use crate::request::Request;
use crate::scheduler::{Limits, Load};
use crate::sequence::Sequence;
use crate::{EngineError, generate};

/// Answers of an encoder-decoder.
pub(crate) struct Translator<'a> {
    model: &'a Model,
    limits: Limits,
    running: Vec<Translation>,
    waiting: Vec<Translation>,
    arrived: u64,
    done: Load,
}

/// A source, and what there is of its target.
struct Translation {
    sequence: Sequence,
    source: Vec<u32>,
    cache: Option<Cache>,
}

impl<'a> Translator<'a> {
    /// # Errors
    /// If the model is no encoder-decoder.
    pub(crate) fn new(model: &'a Model, limits: Limits) -> Result<Self, EngineError> {
        if model.kind() != Kind::EncoderDecoder {
            return Err(EngineError::NoDecoder);
        }
        let (running, waiting) = (Vec::new(), Vec::new());
        Ok(Self { model, limits, running, waiting, arrived: 0, done: Load::default() })
    }

    /// Takes a request in.
    ///
    /// # Errors
    /// If it makes no sense, or too many wait already.
    pub(crate) fn submit(&mut self, mut request: Request) -> Result<(), EngineError> {
        generate::check((self.model.vocab_size(), self.model.context()), &request.prompt, &request.sampling)?;
        if request.prompt_logprobs.is_some() {
            return Err(EngineError::Sampling("a source has no log-probabilities, only the answer has".into()));
        }
        if self.waiting.len() >= self.limits.waiting {
            return Err(EngineError::Busy { waiting: self.waiting.len() });
        }
        self.arrived += 1;
        let source = std::mem::replace(&mut request.prompt, vec![self.model.start_token()]);
        let mut sequence = Sequence::new(self.arrived, request);
        sequence.read = source.len();
        self.waiting.push(Translation { sequence, source, cache: None });
        Ok(())
    }

    pub(crate) fn load(&self) -> Load {
        Load { running: self.running.len(), waiting: self.waiting.len(), ..self.done }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// A token of every request.
    pub(crate) fn step(&mut self) {
        self.drop_ended();
        self.waiting.sort_by_key(|translation| translation.sequence.rank());
        let places = self.limits.running.max(1).saturating_sub(self.running.len()).min(self.waiting.len());
        self.running.extend(self.waiting.drain(..places));
        let started = Instant::now();
        for translation in &mut self.running {
            if translation.cache.is_none() {
                self.done.prompt_tokens += translation.source.len() as u64;
            }
            let before = translation.sequence.answered();
            translation.step(self.model);
            self.done.new_tokens += (translation.sequence.answered() - before) as u64;
        }
        self.done.passes += 1;
        self.done.seconds += started.elapsed().as_secs_f64();
        self.drop_ended();
    }

    fn drop_ended(&mut self) {
        let now = Instant::now();
        for translations in [&mut self.running, &mut self.waiting] {
            for mut ended in translations.extract_if(.., |translation| translation.sequence.over(now).is_some()) {
                if let Some(reason) = ended.sequence.over(now) {
                    ended.sequence.finish(reason);
                }
            }
        }
    }
}

impl Translation {
    fn step(&mut self, model: &Model) {
        let source = self.cache.is_none().then_some(Source { ids: &self.source, lengths: None });
        let cache = self.cache.get_or_insert_with(|| model.cache(0));
        let new = &self.sequence.tokens[self.sequence.computed..];
        let mut logits = awake(|| model.last_logits_after(source, new, cache));
        self.sequence.take(&mut logits, model.vocab_size(), model.context());
    }
}
