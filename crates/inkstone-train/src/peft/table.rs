//! What a recipe says about parameter-efficient tuning, and what becomes of a model by it.

use std::path::Path;

use inkstone_formats::hf::ModelFolder;
use inkstone_models::{Drawn, Model, ModelError, Over, Read, WantedLayer, Weights};
use inkstone_nn::{Device, Precision, Projection};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::adapter::Adapter;
use super::chosen::Chosen;
use super::{ia3, lora};
use crate::TrainError;

/// The folder of the adapter inside the artifact of a stage that trained one.
pub(crate) const ADAPTER: &str = "adapter";

/// `peft = { method = "lora", … }` of a training stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "lowercase", deny_unknown_fields)]
pub enum PeftTable {
    /// Thin matrices beside the weights (arXiv:2106.09685).
    Lora(lora::Table),
    /// The same, scaled by the root of the rank (arXiv:2312.03732).
    Rslora(lora::Table),
    /// The same, with magnitudes apart from directions (arXiv:2402.09353).
    Dora(lora::Table),
    /// Factors of the outputs or inputs (arXiv:2205.05638).
    Ia3(ia3::Table),
    /// Biases alone (arXiv:2106.10199).
    Bitfit,
    /// Weights and biases of the norms.
    Norms,
    /// Some of the blocks.
    Layers {
        /// Their numbers, from 0.
        blocks: Vec<usize>,
    },
}

/// What is trained of a model.
#[derive(Debug, Clone)]
pub(crate) enum Tuning {
    /// Everything.
    Full,
    /// An adapter.
    Adapter(Box<Adapter>),
    /// Some of its own weights.
    Chosen(Chosen),
}

impl PeftTable {
    /// `LoRA` of a rank, as a recipe that says no more has it.
    pub fn lora(rank: usize) -> Result<Self, String> {
        let table = Self::Lora(lora::Table::of(rank));
        table.validate().map(|()| table)
    }

    /// What is wrong with the settings, if anything.
    pub fn validate(&self) -> Result<(), String> {
        match self {
            Self::Lora(table) | Self::Rslora(table) | Self::Dora(table) => table.validate(),
            Self::Layers { blocks } if blocks.is_empty() => {
                Err("`peft.blocks` is empty, expected the numbers of some blocks".into())
            }
            _ => Ok(()),
        }
    }

    /// What is to be trained.
    pub(crate) fn tuning(&self) -> Tuning {
        match self {
            Self::Lora(table) => Tuning::Adapter(Box::new(Adapter::new(table.config(lora::Kind::Plain)))),
            Self::Rslora(table) => Tuning::Adapter(Box::new(Adapter::new(table.config(lora::Kind::RankStabilised)))),
            Self::Dora(table) => Tuning::Adapter(Box::new(Adapter::new(table.config(lora::Kind::Decomposed)))),
            Self::Ia3(table) => Tuning::Adapter(Box::new(Adapter::new(table.config()))),
            Self::Bitfit => Tuning::Chosen(Chosen::Biases),
            Self::Norms => Tuning::Chosen(Chosen::Norms),
            Self::Layers { blocks } => Tuning::Chosen(Chosen::Blocks(blocks.clone())),
        }
    }
}

impl Tuning {
    /// What `table` asks for; everything where there is none.
    pub(crate) fn of(table: Option<&PeftTable>) -> Self {
        table.map_or(Self::Full, PeftTable::tuning)
    }

    /// The model of the folder `base`, ready to be trained.
    pub(crate) fn load(
        &self,
        base: &Path,
        (precision, device): (Precision, &Device),
        seed: u64,
    ) -> Result<Model, TrainError> {
        match self {
            Self::Full => Ok(Model::load(base, precision, device)?),
            Self::Adapter(adapter) => adapter.wrap(base, (precision, device), seed),
            Self::Chosen(chosen) => chosen.choose(Model::load(base, precision, device)?),
        }
    }

    /// A model with drawn weights, ready to be trained.
    pub(crate) fn draw(
        &self,
        config: &Value,
        (precision, device): (Precision, &Device),
        seed: u64,
    ) -> Result<Model, TrainError> {
        match self {
            Self::Full => Ok(Model::init(config, seed, precision, device)?),
            Self::Adapter(adapter) => adapter.around(config, &mut Drawn { seed }, (precision, device), seed),
            Self::Chosen(chosen) => chosen.choose(Model::init(config, seed, precision, device)?),
        }
    }

    /// Writes the tuned model into `out`, whole; an adapter also apart, into its folder `adapter`.
    pub(crate) fn save(&self, model: &Model, base: &Path, out: &Path) -> Result<(), TrainError> {
        let Self::Adapter(adapter) = self else { return Ok(model.save(out)?) };
        let folder = out.join(ADAPTER);
        adapter.save(model, &folder)?;
        Ok(merged(base, &[(folder.as_path(), 1.0)], (Precision::F32, &inkstone_nn::device()))?.save(out)?)
    }
}

impl Adapter {
    /// The model of the folder `base` with this adapter around it, which alone is trained.
    pub fn wrap(&self, base: &Path, (precision, device): (Precision, &Device), seed: u64) -> Result<Model, TrainError> {
        let folder = ModelFolder::open(base)?;
        let mut weights = Read::new(&folder);
        let model = self.around(folder.config(), &mut weights, (precision, device), seed)?;
        weights.finish()?;
        Ok(model)
    }

    /// The model that `config` describes with this adapter around it, which alone is trained.
    pub fn around(
        &self,
        config: &Value,
        weights: &mut dyn Weights,
        (precision, device): (Precision, &Device),
        seed: u64,
    ) -> Result<Model, TrainError> {
        let mut projections = Vec::new();
        let mut adapting = Over::new(weights, |inner, wanted| {
            projections.push(wanted.name.to_owned());
            let base = inner.projection(wanted)?;
            if !self.targets(wanted.name) {
                return Ok(base);
            }
            let change = self.change(wanted, &base, seed)?;
            Ok(base.adapted(change))
        });
        let model = Model::build(config, &mut adapting, precision, device)?;
        self.finish(&projections)?;
        Ok(model.train_only(&|name| self.owns(name)))
    }
}

/// The model of the folder `base` with adapters merged into its weights, each with a factor.
pub fn merged(
    base: &Path,
    adapters: &[(&Path, f64)],
    (precision, device): (Precision, &Device),
) -> Result<Model, TrainError> {
    let folder = ModelFolder::open(base)?;
    let mut weights = Read::new(&folder);
    let adapters: Vec<(Adapter, f64)> =
        adapters.iter().map(|&(path, factor)| Ok((Adapter::open(path)?, factor))).collect::<Result<_, TrainError>>()?;
    let mut projections = Vec::new();
    let mut merging = Over::new(&mut weights, |inner, wanted| {
        projections.push(wanted.name.to_owned());
        with_adapters(&adapters, inner, wanted)
    });
    let model = Model::build(folder.config(), &mut merging, precision, device)?;
    adapters.iter().try_for_each(|(adapter, _)| adapter.finish(&projections))?;
    weights.finish()?;
    Ok(model)
}

/// A projection with those of the adapters in its weights that have something to say about it, one after the other.
fn with_adapters(
    adapters: &[(Adapter, f64)],
    inner: &mut dyn Weights,
    wanted: &WantedLayer<'_>,
) -> Result<Projection, ModelError> {
    if !adapters.iter().any(|(adapter, _)| adapter.targets(wanted.name)) {
        return inner.projection(wanted);
    }
    let mut weights = wanted.read(inner)?;
    for (adapter, factor) in adapters.iter().filter(|(adapter, _)| adapter.targets(wanted.name)) {
        if !weights.weight.is_empty() {
            adapter.merge(wanted, &mut weights, *factor)?;
        }
    }
    Ok(wanted.make(weights))
}
