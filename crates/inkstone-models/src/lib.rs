//! One file per architecture, readable top to bottom like its paper, and the registry [`Model`].
//!
//! A model's `Config` is its own `config.json`, its weight names are Hugging Face's. Products with
//! weights go through `Projection`; points of observation have names.

mod cost;
mod error;
mod init;
pub mod llama;
mod model;
mod pass;
mod weights;

pub use cost::{expected_flops_per_token, expected_parameters, training_bytes};
pub use error::ModelError;
pub use model::{Loss, Model};
pub use pass::{Cache, NoObserver, Observer, Pass};
