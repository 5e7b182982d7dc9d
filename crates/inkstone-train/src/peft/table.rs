//! What a recipe says about parameter-efficient tuning, and what becomes of a model by it.

use std::path::Path;

use inkstone_formats::hf::ModelFolder;
use inkstone_models::{Drawn, Model, ModelError, Over, Read, WantedLayer, Weights, dimensions};
use inkstone_nn::{Device, Precision, Projection};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::adapter::{Adapter, AdapterError};
use super::chosen::Chosen;
use super::frozen::{FrozenBase, frozen, round};
use super::{bottleneck, ia3, intrinsic, lora, prefix, prompt};
use crate::TrainError;

/// The folder of the adapter inside the artifact of a stage that trained one.
pub(crate) const ADAPTER: &str = "adapter";

/// The folder of the model below an adapter that cannot go into the weights.
pub const BASE: &str = "base";

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
    /// Small networks behind attention and feed-forward (arXiv:1902.00751).
    Houlsby(bottleneck::Table),
    /// Small networks behind the feed-forward alone (arXiv:2005.00247).
    Pfeiffer(bottleneck::Table),
    /// Steps along fixed random directions (arXiv:2012.13255).
    Intrinsic(intrinsic::Table),
    /// Embeddings of tokens before every document (arXiv:2104.08691).
    Prompt(prompt::Table),
    /// Keys and values before those of every document (arXiv:2101.00190).
    Prefix(prompt::Table),
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
    /// `LoRA` of a rank around some projections (all but the head where none is named), as a recipe that says no more has it.
    pub fn lora(rank: usize, targets: &[String]) -> Result<Self, String> {
        let table = Self::Lora(lora::Table::of(rank, targets));
        table.validate().map(|()| table)
    }

    /// What is wrong with the settings, if anything.
    pub fn validate(&self) -> Result<(), String> {
        match self {
            Self::Lora(table) | Self::Rslora(table) | Self::Dora(table) => table.validate(),
            Self::Houlsby(table) | Self::Pfeiffer(table) => table.validate(),
            Self::Intrinsic(table) => table.validate(),
            Self::Prompt(table) | Self::Prefix(table) => table.validate(),
            Self::Layers { blocks } if blocks.is_empty() => {
                Err("`peft.blocks` is empty, expected the numbers of some blocks".into())
            }
            _ => Ok(()),
        }
    }

    /// The adapter that is to be trained; nothing where some of the model's own weights are.
    pub fn adapter(&self) -> Option<Adapter> {
        let config = match self {
            Self::Lora(table) => table.config(lora::Kind::Plain),
            Self::Rslora(table) => table.config(lora::Kind::RankStabilised),
            Self::Dora(table) => table.config(lora::Kind::Decomposed),
            Self::Ia3(table) => table.config(),
            Self::Houlsby(table) | Self::Pfeiffer(table) => table.config(),
            Self::Intrinsic(table) => table.config(),
            Self::Prompt(table) => table.config(),
            Self::Prefix(table) => prefix::config(table),
            Self::Bitfit | Self::Norms | Self::Layers { .. } => return None,
        };
        Some(Adapter::new(config).over(self.base()))
    }

    /// What frozen weights are kept in, where not as they are.
    fn base(&self) -> Option<FrozenBase> {
        match self {
            Self::Lora(table) | Self::Rslora(table) | Self::Dora(table) => table.base,
            _ => None,
        }
    }

    /// What is to be trained.
    pub(crate) fn tuning(&self) -> Tuning {
        match (self.adapter(), self) {
            (Some(adapter), _) => Tuning::Adapter(Box::new(adapter)),
            (None, Self::Layers { blocks }) => Tuning::Chosen(Chosen::Blocks(blocks.clone())),
            (None, Self::Norms) => Tuning::Chosen(Chosen::Norms),
            (None, _) => Tuning::Chosen(Chosen::Biases),
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

    /// Writes the tuned model into `out`, whole; an adapter also apart, into its folder `adapter`. Where that cannot go into the
    /// weights, the model below it stands beside it, in the folder `base`.
    pub(crate) fn save(&self, model: &Model, base: &Path, out: &Path) -> Result<(), TrainError> {
        let Self::Adapter(adapter) = self else { return Ok(model.save(out)?) };
        let folder = out.join(ADAPTER);
        adapter.save(model, &folder)?;
        if !adapter.merges() {
            return Ok(Model::load(base, Precision::F32, &inkstone_nn::device())?.save(&out.join(BASE))?);
        }
        let trained = Adapter::open(&folder)?.over_base_of(adapter);
        Ok(with(base, &[(trained, 1.0)], (Precision::F32, &inkstone_nn::device()))?.save(out)?)
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
        let adapting = Over::new(weights, |inner, wanted| {
            projections.push(wanted.name.to_owned());
            let base = match self.frozen(wanted.name) {
                Some(format) => frozen(inner, wanted, format)?,
                None => inner.projection(wanted)?,
            };
            if !self.targets(wanted.name) {
                return Ok(base);
            }
            let change = self.change(wanted, &base, seed)?;
            Ok(base.adapted(change))
        });
        let vocabulary = dimensions(config)?.vocabulary;
        let mut prompts = (self.prompt_tokens() > 0).then_some(self);
        let mut adapting =
            adapting.embedding(move |inner, wanted| match prompts.take_if(|_| wanted.inputs == vocabulary) {
                Some(adapter) => prompt::extended(adapter, inner, wanted, (seed, 1.0)),
                None => inner.embedding(wanted),
            });
        let model = Model::build(config, &mut adapting, precision, device)?.with_virtual_tokens(self.prompt_tokens());
        self.finish(&projections)?;
        prefix::around(model.train_only(&|name| self.owns(name)), self, (seed, 1.0), device)
    }
}

/// The model of the folder `base` with adapters merged into its weights, each with a factor; what cannot go into weights stands
/// beside them. A folder in which training left model and adapter apart is taken for both.
pub fn merged(
    base: &Path,
    adapters: &[(&Path, f64)],
    (precision, device): (Precision, &Device),
) -> Result<Model, TrainError> {
    let (below, own) = (base.join(BASE), base.join(ADAPTER));
    let apart = below.is_dir() && own.is_dir();
    let adapters: Vec<(&Path, f64)> =
        apart.then_some((own.as_path(), 1.0)).into_iter().chain(adapters.iter().copied()).collect();
    let adapters: Vec<(Adapter, f64)> = adapters
        .into_iter()
        .map(|(path, factor)| Ok((Adapter::open(path)?, factor)))
        .collect::<Result<_, TrainError>>()?;
    with(if apart { &below } else { base }, &adapters, (precision, device))
}

/// The model of the folder `base` with `adapters` in or beside its weights.
fn with(
    base: &Path,
    adapters: &[(Adapter, f64)],
    (precision, device): (Precision, &Device),
) -> Result<Model, TrainError> {
    let folder = ModelFolder::open(base)?;
    let mut weights = Read::new(&folder);
    let mut projections = Vec::new();
    let merging = Over::new(&mut weights, |inner, wanted| {
        projections.push(wanted.name.to_owned());
        with_adapters(adapters, inner, wanted)
    });
    let before = one_before(adapters)?;
    let prompted = before.filter(|(adapter, _)| adapter.prompt_tokens() > 0);
    let (vocabulary, mut prompts) = (dimensions(folder.config())?.vocabulary, prompted);
    let mut merging = merging.embedding(move |inner, wanted| match prompts.take_if(|_| wanted.inputs == vocabulary) {
        Some((adapter, factor)) => prompt::extended(adapter, inner, wanted, (0, *factor)),
        None => inner.embedding(wanted),
    });
    let tokens = prompted.map_or(0, |(adapter, _)| adapter.prompt_tokens());
    let model = Model::build(folder.config(), &mut merging, precision, device)?.with_virtual_tokens(tokens);
    let model = match before {
        Some((adapter, factor)) => prefix::around(model, adapter, (0, *factor), device)?,
        None => model,
    };
    adapters.iter().try_for_each(|(adapter, _)| adapter.finish(&projections))?;
    weights.finish()?;
    Ok(model)
}

/// The adapter with tokens, or keys and values, before every document; there can be one.
fn one_before(adapters: &[(Adapter, f64)]) -> Result<Option<&(Adapter, f64)>, AdapterError> {
    let mut prompts = adapters.iter().filter(|(adapter, _)| adapter.virtual_tokens() > 0);
    match (prompts.next(), prompts.next()) {
        (_, Some(_)) => Err(AdapterError::TwoPrompts),
        (one, None) => Ok(one),
    }
}

/// A projection with those of the adapters in its weights that have something to say about it, one after the other.
fn with_adapters(
    adapters: &[(Adapter, f64)],
    inner: &mut dyn Weights,
    wanted: &WantedLayer<'_>,
) -> Result<Projection, ModelError> {
    let mine = || adapters.iter().filter(|(adapter, _)| adapter.targets(wanted.name));
    let frozen = adapters.iter().find_map(|(adapter, _)| adapter.frozen(wanted.name));
    if mine().next().is_none() && frozen.is_none() {
        return inner.projection(wanted);
    }
    let mut weights = wanted.read(inner)?;
    if let Some(format) = frozen {
        round(&mut weights, wanted, format);
    }
    if !weights.weight.is_empty() {
        mine().try_for_each(|(adapter, factor)| adapter.merge(wanted, &mut weights, *factor))?;
    }
    mine().try_fold(wanted.make(weights), |made, (adapter, factor)| adapter.beside(made, wanted, *factor))
}
