//! Where a model's weights come from: drawn, read, or merely counted.

use std::collections::BTreeSet;

use burn::tensor::Device;
use inkstone_formats::hf::ModelFolder;
use inkstone_nn::{Embedding, Precision, Projection, ProjectionWeights};

use crate::ModelError;
use crate::chatglm::{Names, Part};
use crate::init::normal;

/// A tensor that an architecture asks for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Hugging Face's name.
    pub name: &'a str,
    /// Its axes, the slowest first.
    pub shape: &'a [usize],
    /// What it holds before training.
    pub init: Init,
    /// Whether every token is multiplied with it.
    pub product: bool,
}

/// What a tensor holds before training.
#[derive(Debug, Clone, Copy)]
pub enum Init {
    /// Draws of a normal distribution with mean 0 and this standard deviation.
    Normal(f64),
    /// Ones.
    Ones,
    /// Zeros.
    Zeros,
}

/// A layer that an architecture asks for.
#[derive(Debug, Clone, Copy)]
pub struct WantedLayer<'a> {
    /// Hugging Face's name, without `.weight`.
    pub name: &'a str,
    /// How the weight lies.
    pub layout: Layout,
    /// Width of the input; ids of an embedding.
    pub inputs: usize,
    /// Width of the output.
    pub outputs: usize,
    /// Whether it has a bias.
    pub bias: bool,
    /// Standard deviation of the initial weight.
    pub std: f64,
    /// Precision of the product's operands.
    pub precision: Precision,
    /// Where it is computed.
    pub device: &'a Device,
}

impl WantedLayer<'_> {
    /// The weight and the bias of a product.
    pub fn read<W: Weights + ?Sized>(&self, weights: &mut W) -> Result<ProjectionWeights, ModelError> {
        let &Self { inputs, outputs, std, .. } = self;
        let (name, bias) = (format!("{}.weight", self.name), format!("{}.bias", self.name));
        let shape = match self.layout {
            Layout::Dense => [outputs, inputs],
            Layout::Conv1d => [inputs, outputs],
        };
        let weight = weights.tensor(&Wanted { name: &name, shape: &shape, init: Init::Normal(std), product: true })?;
        let wanted_bias = Wanted { name: &bias, shape: &[outputs], init: Init::Zeros, product: false };
        let bias = if self.bias { Some(weights.tensor(&wanted_bias)?) } else { None };
        Ok(ProjectionWeights { weight, bias, outputs, inputs })
    }

    /// The product with these numbers.
    pub fn make(&self, weights: ProjectionWeights) -> Projection {
        match self.layout {
            Layout::Dense => Projection::dense(weights, self.precision, self.device),
            Layout::Conv1d => Projection::conv1d(weights, self.precision, self.device),
        }
    }
}

/// How the weight of a layer lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `[outputs, inputs]`.
    Dense,
    /// `[inputs, outputs]`.
    Conv1d,
}

/// A source of weights by name; an architecture is built the same way from any.
///
/// A source that has more to say than numbers (adapters around a product, quantised blocks) makes the layers itself.
pub trait Weights {
    /// The values, row-major.
    fn tensor(&mut self, wanted: &Wanted<'_>) -> Result<Vec<f32>, ModelError>;

    /// A product with a weight, and its bias.
    fn projection(&mut self, wanted: &WantedLayer<'_>) -> Result<Projection, ModelError> {
        Ok(wanted.make(wanted.read(self)?))
    }

    /// A table of `[inputs, outputs]`, a row for each id.
    fn embedding(&mut self, wanted: &WantedLayer<'_>) -> Result<Embedding, ModelError> {
        let (name, shape) = (format!("{}.weight", wanted.name), [wanted.inputs, wanted.outputs]);
        let init = Init::Normal(wanted.std);
        let table = self.tensor(&Wanted { name: &name, shape: &shape, init, product: false })?;
        Ok(Embedding::new(table, shape, wanted.precision, wanted.device))
    }

    /// The source that this one is over, which hears of all that is not asked for.
    fn below(&mut self) -> Option<&mut dyn Weights> {
        None
    }

    /// Names may come without `prefix`.
    fn optional_prefix(&mut self, prefix: &'static str) {
        if let Some(below) = self.below() {
            below.optional_prefix(prefix);
        }
    }

    /// Names that end so are not read.
    fn ignore(&mut self, suffixes: &[&'static str]) {
        if let Some(below) = self.below() {
            below.ignore(suffixes);
        }
    }

    /// Every token is multiplied with a tensor of this shape that was asked for as something else.
    fn shared(&mut self, shape: [usize; 2]) {
        if let Some(below) = self.below() {
            below.shared(shape);
        }
    }
}

/// Drawn weights; each depends on the seed and its own name only.
#[derive(Debug, Clone, Copy)]
pub struct Drawn {
    /// What they are drawn from.
    pub seed: u64,
}

impl Weights for Drawn {
    fn tensor(&mut self, wanted: &Wanted<'_>) -> Result<Vec<f32>, ModelError> {
        let n = wanted.shape.iter().product();
        Ok(match wanted.init {
            Init::Normal(std) => normal(self.seed, wanted.name, n, std),
            Init::Ones => vec![1.0; n],
            Init::Zeros => vec![0.0; n],
        })
    }
}

/// No weights: a model of shapes alone is built, and its parameters are counted.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// All parameters.
    pub(crate) parameters: u64,
    /// Those that every token is multiplied with.
    pub(crate) products: u64,
}

impl Weights for Counted {
    fn tensor(&mut self, wanted: &Wanted<'_>) -> Result<Vec<f32>, ModelError> {
        let n = wanted.shape.iter().fold(1_u64, |n, &size| n.saturating_mul(size as u64));
        self.parameters = self.parameters.saturating_add(n);
        self.products = self.products.saturating_add(if wanted.product { n } else { 0 });
        Ok(Vec::new())
    }

    fn shared(&mut self, [rows, columns]: [usize; 2]) {
        self.products = self.products.saturating_add((rows as u64).saturating_mul(columns as u64));
    }
}

/// Weights of a Hugging Face folder. Missing ones are noted, so that all of them are named at once.
#[derive(Debug)]
pub struct Read<'a> {
    folder: &'a ModelFolder,
    unread: BTreeSet<String>,
    missing: Vec<String>,
    prefix: &'static str,
    ignored: Vec<&'static str>,
    /// Names of another layout.
    older: Option<Names>,
}

impl<'a> Read<'a> {
    /// Over the tensors of an open folder.
    pub fn new(folder: &'a ModelFolder) -> Self {
        let unread = folder.names().map(str::to_owned).collect();
        let older = Names::of(folder.config());
        let ignored = older.iter().map(|_| "rotary_pos_emb.inv_freq").collect();
        Self { folder, unread, missing: Vec::new(), prefix: "", ignored, older }
    }

    /// Complains of names that one side has and the other has not.
    pub fn finish(mut self) -> Result<(), ModelError> {
        self.unread.retain(|name| !self.ignored.iter().any(|suffix| name.ends_with(suffix)));
        if self.missing.is_empty() && self.unread.is_empty() {
            return Ok(());
        }
        let unexpected = self.unread.into_iter().collect();
        Err(ModelError::Names { path: self.folder.path().to_owned(), missing: self.missing, unexpected })
    }

    /// Whether the folder has what we call `name`.
    fn has(&self, name: &str) -> bool {
        let part = self.older.and_then(|older| older.part(name));
        part.map_or_else(|| self.spelling(name).is_some(), |part| self.folder.contains(&part.name))
    }

    /// The rows of a tensor of the folder that are what is wanted.
    fn part(&mut self, wanted: &Wanted<'_>, Part { name, rows }: Part) -> Result<Vec<f32>, ModelError> {
        if !self.folder.contains(&name) {
            self.missing.push(name);
            return Ok(Vec::new());
        }
        self.unread.remove(&name);
        let (got, mut expected) = (self.folder.tensor(&name)?.shape.to_vec(), wanted.shape.to_vec());
        let enough = rows.as_ref().is_none_or(|rows| got.first().is_some_and(|&all| rows.end <= all));
        if rows.is_some() && enough {
            expected[0] = got[0];
        }
        if got != expected {
            return Err(ModelError::Shape { path: self.folder.path().to_owned(), tensor: name, got, expected });
        }
        let values = self.folder.f32(&name)?;
        let width: usize = wanted.shape[1..].iter().product();
        Ok(match rows {
            Some(rows) => values[rows.start * width..rows.end * width].to_vec(),
            None => values,
        })
    }

    /// The name under which the folder has what we call `name`: ours, that of the bare model, or an older spelling.
    fn spelling(&self, name: &str) -> Option<String> {
        let bare = name.strip_prefix(self.prefix).unwrap_or(name);
        let old = |name: &str| {
            let old = name.strip_suffix("LayerNorm.weight").map(|stem| format!("{stem}LayerNorm.gamma"));
            old.or_else(|| name.strip_suffix("LayerNorm.bias").map(|stem| format!("{stem}LayerNorm.beta")))
        };
        let spellings = [Some(name.to_owned()), Some(bare.to_owned()), old(name), old(bare)];
        spellings.into_iter().flatten().find(|name| self.unread.contains(name))
    }
}

/// Weights of a Hugging Face folder, and drawn ones where it has none.
#[derive(Debug)]
pub struct ReadOrDrawn<'a> {
    read: Read<'a>,
    drawn: Drawn,
    names: Vec<String>,
}

impl<'a> ReadOrDrawn<'a> {
    /// Over the tensors of an open folder.
    pub fn new(folder: &'a ModelFolder, seed: u64) -> Self {
        Self { read: Read::new(folder), drawn: Drawn { seed }, names: Vec::new() }
    }

    /// The names that were drawn, and those that nobody read.
    pub fn finish(self) -> [Vec<String>; 2] {
        [self.names, self.read.unread.into_iter().collect()]
    }
}

impl Weights for ReadOrDrawn<'_> {
    fn tensor(&mut self, wanted: &Wanted<'_>) -> Result<Vec<f32>, ModelError> {
        if self.read.has(wanted.name) {
            return self.read.tensor(wanted);
        }
        self.names.push(wanted.name.to_owned());
        self.drawn.tensor(wanted)
    }

    fn below(&mut self) -> Option<&mut dyn Weights> {
        Some(&mut self.read)
    }
}

impl Weights for Read<'_> {
    fn tensor(&mut self, wanted: &Wanted<'_>) -> Result<Vec<f32>, ModelError> {
        let Wanted { name, shape, .. } = *wanted;
        if let Some(part) = self.older.and_then(|older| older.part(name)) {
            return self.part(wanted, part);
        }
        let Some(name) = self.spelling(name) else {
            self.missing.push(name.to_owned());
            return Ok(Vec::new());
        };
        self.unread.remove(&name);
        let got = self.folder.tensor(&name)?.shape.to_vec();
        if got != shape {
            let path = self.folder.path().to_owned();
            return Err(ModelError::Shape { path, tensor: name, got, expected: shape.to_vec() });
        }
        Ok(self.folder.f32(&name)?)
    }

    fn optional_prefix(&mut self, prefix: &'static str) {
        self.prefix = prefix;
    }

    fn ignore(&mut self, suffixes: &[&'static str]) {
        self.ignored.extend(suffixes);
    }
}
