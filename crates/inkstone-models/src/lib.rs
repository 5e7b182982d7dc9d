//! One file per architecture, readable top to bottom like its paper, and the registry, [`Model`].
//!
//! A model's `Config` is its own `config.json`, its weight names are Hugging Face's. Products with
//! weights go through `Projection`; points of observation have names.

mod architecture;
mod builder;
mod cost;
mod dictionary;
mod error;
mod fields;
mod heads;
mod init;
mod model;
mod over;
mod pass;
mod prefix;
mod recipe;
mod registry;
mod relative;
mod rope;
mod rows;
mod score;
mod shared;
mod virtual_tokens;
mod weights;

mod albert;
mod baichuan;
mod bert;
mod bloom;
mod chatglm;
mod cpm_bee;
mod glm;
mod glm_2021;
mod gpt1;
mod gpt2;
mod llama;
mod t5;
mod transformer;

use architecture::{Entry, entry};

pub use architecture::{Dimensions, Kind};
pub use cost::{dimensions, expected_flops_per_token, expected_parameters, training_bytes, with_layers};
pub use dictionary::{Blank, Dictionary, DictionaryMarks};
pub use error::ModelError;
pub use heads::{TaskHead, labels_of, task_config};
pub use model::{Loss, Model, likeliest};
pub use over::{Below, Over};
pub use pass::{Cache, NoObserver, Observer, Pass, Source, Store, Tree};
pub use recipe::{ModelTable, Vocabulary};
pub use registry::{is_side_by_side, kind, model_types};
pub use rope::frequency_factors;
pub use shared::{Again, Recording, Shared};
pub use weights::{Drawn, Init, Layout, Read, ReadOrDrawn, Wanted, WantedLayer, Weights};

/// The registry: one line for each architecture.
const ARCHITECTURES: &[Entry] = &[
    entry::<albert::Albert>(),
    entry::<baichuan::Baichuan>(),
    entry::<bert::MaskedEncoder>(),
    entry::<bloom::Bloom>(),
    entry::<cpm_bee::CpmBee>(),
    entry::<glm::Glm>(),
    entry::<glm_2021::Glm2021>(),
    entry::<gpt1::Gpt1>(),
    entry::<gpt2::Gpt2>(),
    entry::<llama::Llama>(),
    entry::<t5::T5>(),
    entry::<transformer::Transformer>(),
];
