//! An adapter: what it changes, and its numbers once it has any.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use inkstone_formats::peft::{AdapterConfig, Modules, PREFIX, PeftFolder, write_adapter};
use inkstone_formats::safetensors::{TensorView, to_f32};
use inkstone_models::{Model, ModelError, WantedLayer};
use inkstone_nn::{Change, FrozenFormat, Projection, ProjectionWeights};
use serde_json::Value;

use super::frozen::FrozenBase;
use super::{bottleneck, ia3, intrinsic, lora, prefix, prompt};
use crate::TrainError;

/// The numbers of a tensor.
pub(super) type Values = Vec<f32>;

/// Fields of `adapter_config.json` that change the maths in ways that are not implemented; all of them may be absent, null,
/// false or empty.
const REFUSED: [&str; 10] = [
    "modules_to_save",
    "layers_to_transform",
    "rank_pattern",
    "alpha_pattern",
    "exclude_modules",
    "target_parameters",
    "trainable_token_indices",
    "lora_bias",
    "layer_replication",
    "prefix_projection",
];

/// How the names of adapters' parameters begin.
const OWN: [&str; 5] = ["lora_", "ia3_", "adapter_", "intrinsic_", prompt::TENSOR];

/// Why an adapter can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// A kind that is not implemented.
    #[error("{}: peft_type is {got}, expected one of LORA, IA3, PROMPT_TUNING, PREFIX_TUNING, BOTTLENECK, INTRINSIC", path.display())]
    Kind {
        /// The folder.
        path: PathBuf,
        /// What it says.
        got: String,
    },
    /// A setting that is not implemented.
    #[error("{}: `{field}` is {got}, which is not implemented", path.display())]
    Setting {
        /// The folder.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// Its value.
        got: String,
    },
    /// An adapter of another model.
    #[error("the adapter {adapter} does not fit this model: it has {}", unused.join(", "))]
    OtherBase {
        /// The adapter.
        adapter: String,
        /// Tensors that nothing in the model asks for.
        unused: Vec<String>,
    },
    /// Targets that the model does not have.
    #[error("no projection of the model is among the targets {targets}; it has {}", known.join(", "))]
    NoTarget {
        /// What was asked for.
        targets: String,
        /// The ends of names of its projections.
        known: Vec<String>,
    },
    /// Two adapters that both put tokens before every text.
    #[error("two of the adapters put tokens before the text (PROMPT_TUNING, PREFIX_TUNING), expected one at most")]
    TwoPrompts,
    /// Keys and values before the text, for a model with two kinds of attention.
    #[error("an encoder-decoder takes no keys and values before its texts (PREFIX_TUNING)")]
    NoPrefix,
    /// A choice of weights that the model does not have.
    #[error("the model has no {what} to train")]
    NothingToTrain {
        /// What was asked for.
        what: String,
    },
}

impl AdapterError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Kind { .. } | Self::Setting { .. } => "merge it into its base model with the program that made it",
            Self::OtherBase { .. } => "give the base model that the adapter was trained on",
            Self::NoTarget { .. } => "name some of these, or leave `targets` out: all but the head",
            Self::TwoPrompts => "leave one of them out",
            Self::NoPrefix => "choose `prompt`, or a method that changes projections",
            Self::NothingToTrain { .. } => "choose another `peft.method`",
        }
    }
}

/// An adapter: its config, and its numbers by the names of the base model's modules.
#[derive(Debug, Clone)]
pub struct Adapter {
    config: AdapterConfig,
    tensors: BTreeMap<String, (Vec<usize>, Values)>,
    path: PathBuf,
    base: Option<FrozenFormat>,
}

impl Adapter {
    /// An adapter that has not been trained.
    pub(super) fn new(config: AdapterConfig) -> Self {
        Self { config, tensors: BTreeMap::new(), path: PathBuf::from("of this recipe"), base: None }
    }

    /// The same adapter around projections whose weights are kept in `base`, or as they are.
    #[must_use]
    pub fn over(self, base: Option<FrozenBase>) -> Self {
        Self { base: base.map(FrozenBase::format), ..self }
    }

    /// As [`Self::over`] what `other` is.
    #[must_use]
    pub(super) fn over_base_of(self, other: &Self) -> Self {
        Self { base: other.base, ..self }
    }

    /// What the weight of the projection `name` is kept in: those of blocks are in few bits, the head is not.
    pub(super) fn frozen(&self, name: &str) -> Option<FrozenFormat> {
        self.base.filter(|_| in_block(name))
    }

    /// Reads a PEFT folder.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let folder = PeftFolder::open(path)?;
        check(&folder)?;
        let mut tensors = BTreeMap::new();
        for (name, tensor) in folder.tensors.tensors() {
            let bare = name.strip_prefix(PREFIX).unwrap_or(name);
            let bare = bare
                .strip_suffix("lora_magnitude_vector.weight")
                .map_or_else(|| bare.to_owned(), |module| format!("{module}lora_magnitude_vector"));
            tensors.insert(bare, (tensor.shape.to_vec(), to_f32(&tensor)?));
        }
        Ok(Self { config: folder.config, tensors, path: path.to_owned(), base: None })
    }

    /// Writes the adapter around `model` as a PEFT folder.
    pub fn save(&self, model: &Model, folder: &Path) -> Result<(), TrainError> {
        let mut tensors = Vec::new();
        model.visit_trainable(&mut |name, shape, values| {
            if self.owns(name) {
                let name = if name.ends_with(prompt::TENSOR) { prompt::TENSOR } else { name };
                tensors.push((name.to_owned(), shape.to_vec(), values.to_vec()));
            }
        });
        let views: Vec<_> =
            tensors.iter().map(|(name, shape, values)| (name.clone(), TensorView::f32(shape, values))).collect();
        let fan_in_fan_out = matches!(model.config_json()["model_type"].as_str(), Some("gpt2" | "openai-gpt"));
        let mut config = AdapterConfig { fan_in_fan_out, ..self.config.clone() };
        if self.virtual_tokens() > 0 {
            let sizes = model.dimensions();
            (config.token_dim, config.num_attention_heads) = (Some(sizes.width), Some(sizes.heads));
            if self.prompt_tokens() == 0 {
                // Keys have the width of the key heads.
                let width = sizes.key_heads * sizes.head_width;
                (config.token_dim, config.num_attention_heads) = (Some(width), Some(sizes.key_heads));
                config.encoder_hidden_size = Some(width);
            }
            (config.num_layers, config.num_transformer_submodules) = (Some(sizes.layers), Some(1));
        }
        Ok(write_adapter(folder, &config, &views)?)
    }

    /// Whether a parameter is the adapter's and not the model's.
    pub fn owns(&self, name: &str) -> bool {
        name.split('.').any(|part| OWN.iter().any(|own| part.starts_with(own)))
    }

    pub(super) fn config(&self) -> &AdapterConfig {
        &self.config
    }

    /// Whether it changes the projection `name`.
    pub(super) fn targets(&self, name: &str) -> bool {
        accepts(&self.config.target_modules, name)
    }

    /// Its tensor `name`, which must have `shape`; nothing where the adapter is new or does not have it.
    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Option<Values>, ModelError> {
        match self.tensors.get(name) {
            Some((got, values)) if got == shape => Ok(Some(values.clone())),
            Some((got, _)) => Err(ModelError::Shape {
                path: self.path.clone(),
                tensor: name.to_owned(),
                got: got.clone(),
                expected: shape.to_vec(),
            }),
            None => Ok(None),
        }
    }

    /// What it puts around a projection.
    pub(super) fn change(&self, wanted: &WantedLayer<'_>, base: &Projection, seed: u64) -> Result<Change, ModelError> {
        match self.config.peft_type.as_str() {
            ia3::TYPE => ia3::change(self, wanted),
            intrinsic::TYPE => intrinsic::change(self, wanted),
            bottleneck::TYPE => bottleneck::change(self, wanted, seed, 1.0),
            _ => lora::change(self, wanted, base, seed),
        }
    }

    /// Tokens that it puts before every document.
    pub(super) fn virtual_tokens(&self) -> usize {
        let before = [prompt::TYPE, prefix::TYPE].contains(&self.config.peft_type.as_str());
        if before { self.config.num_virtual_tokens.unwrap_or(0) } else { 0 }
    }

    /// Those of them that have embeddings.
    pub(super) fn prompt_tokens(&self) -> usize {
        if self.config.peft_type == prompt::TYPE { self.virtual_tokens() } else { 0 }
    }

    /// Whether its change can go into the weights.
    pub(super) fn merges(&self) -> bool {
        ![bottleneck::TYPE, prompt::TYPE, prefix::TYPE].contains(&self.config.peft_type.as_str())
    }

    /// `made`, the projection `wanted`, with `factor` times what cannot go into its weights.
    pub(super) fn beside(
        &self,
        made: Projection,
        wanted: &WantedLayer<'_>,
        factor: f64,
    ) -> Result<Projection, ModelError> {
        Ok(if self.config.peft_type == bottleneck::TYPE {
            made.adapted(bottleneck::change(self, wanted, 0, factor)?)
        } else {
            made
        })
    }

    /// Changes the numbers of a projection as it would its result.
    pub(super) fn merge(
        &self,
        wanted: &WantedLayer<'_>,
        weights: &mut ProjectionWeights,
        factor: f64,
    ) -> Result<(), ModelError> {
        match self.config.peft_type.as_str() {
            ia3::TYPE => ia3::merge(self, wanted, weights, factor),
            intrinsic::TYPE => intrinsic::merge(self, wanted, weights, factor),
            bottleneck::TYPE => Ok(()),
            _ => lora::merge(self, wanted, weights, factor),
        }
    }

    /// Complains when nothing was changed, or not everything was used. `projections` are all that the model has.
    pub(super) fn finish(&self, projections: &[String]) -> Result<(), AdapterError> {
        if self.virtual_tokens() > 0 {
            return Ok(());
        }
        let used: Vec<&String> = projections.iter().filter(|name| self.targets(name)).collect();
        let unused: Vec<String> = self
            .tensors
            .keys()
            .filter(|tensor| {
                !used.iter().any(|name| tensor.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.')))
            })
            .take(4)
            .cloned()
            .collect();
        if !unused.is_empty() {
            return Err(AdapterError::OtherBase { adapter: self.path.display().to_string(), unused });
        }
        if used.is_empty() {
            let mut known: Vec<String> =
                projections.iter().map(|name| name.rsplit('.').next().unwrap_or(name).to_owned()).collect();
            known.sort();
            known.dedup();
            return Err(AdapterError::NoTarget { targets: format!("{:?}", self.config.target_modules), known });
        }
        Ok(())
    }
}

/// Whether `modules` has the module `name`, or an end of its name after a dot.
pub(super) fn accepts(modules: &Modules, name: &str) -> bool {
    let is = |end: &String| name == end || name.strip_suffix(end.as_str()).is_some_and(|rest| rest.ends_with('.'));
    match modules {
        Modules::Names(names) => names.iter().any(is),
        // All but the head, which is no part of a block.
        Modules::Pattern(_) => in_block(name),
    }
}

fn in_block(name: &str) -> bool {
    name.split('.').any(|part| part.parse::<usize>().is_ok())
}

fn check(folder: &PeftFolder) -> Result<(), AdapterError> {
    let config = &folder.config;
    let known = [lora::TYPE, ia3::TYPE, prompt::TYPE, prefix::TYPE, bottleneck::TYPE, intrinsic::TYPE];
    if !known.contains(&config.peft_type.as_str()) {
        return Err(AdapterError::Kind { path: folder.path.clone(), got: config.peft_type.clone() });
    }
    let refuse = |field, got: String| Err(AdapterError::Setting { path: folder.path.clone(), field, got });
    if let Some(field) = REFUSED.into_iter().find(|field| is_set(&folder.raw[*field])) {
        return refuse(field, folder.raw[field].to_string());
    }
    let tokens = config.num_virtual_tokens.unwrap_or(0);
    let before = [prompt::TYPE, prefix::TYPE].contains(&config.peft_type.as_str());
    if before && !(1..=prompt::MOST).contains(&tokens) {
        return refuse("num_virtual_tokens", tokens.to_string());
    }
    if config.num_transformer_submodules.unwrap_or(1) != 1 {
        return refuse("num_transformer_submodules", "more than 1".into());
    }
    if config.r == Some(0) {
        return refuse("r", "0".into());
    }
    if let Some(share) = config.lora_dropout.filter(|share| !(0.0..1.0).contains(share)) {
        return refuse("lora_dropout", share.to_string());
    }
    match (&config.bias, &config.target_modules) {
        (Some(bias), _) if bias != "none" => refuse("bias", bias.clone()),
        (_, Modules::Pattern(pattern)) if pattern != "all-linear" => refuse("target_modules", pattern.clone()),
        _ => Ok(()),
    }
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
        _ => true,
    }
}
