//! Inference: token ids in, token ids out. Knows nothing of text, HTTP or files.
//!
//! [`generate`] answers one prompt, plainly. [`Engine`] answers many at once: a [`Scheduler`] puts tokens of all of them
//! through the model together, keys and values lie in blocks that requests with the same beginning share, and every
//! token is what plain generation gives, whatever else is computed beside it. For encoder-decoders the prompt is the source.

mod batch;
mod beam;
mod blocks;
mod draft;
mod engine;
mod generate;
mod prefix;
mod request;
mod sampling;
mod scheduler;
mod scoring;
mod sequence;
mod translator;

pub use beam::{Beams, Hypothesis, beam_search};
pub use blocks::CachePrecision;
pub use draft::{PromptLookup, SmallModel};
pub use engine::Engine;
pub use generate::{EngineError, NextToken, generate, generate_with};
pub use request::{Cancel, Constraint, Draft, Event, Finished, Reason, Request, Scored};
pub use sampling::Sampling;
pub use scheduler::{Limits, Load, Scheduler};
