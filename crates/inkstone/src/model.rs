//! A model with its tokenizer, by whatever name the user gives it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use inkstone_classic::neural::{AnyModel, AnyState};
use inkstone_compress::gguf::GgufModel;
use inkstone_engine::{NextToken, Sampling};
use inkstone_formats::hf::ModelFolder;
use inkstone_models::{Kind, Model, Read, Shared};
use inkstone_recipe::{Artifact, Store};
use inkstone_tokenizer::{StopStrings, Tokenizer};
use inkstone_train::peft::Adapter;

use crate::cli;
use crate::hint::hinted;

/// A model that can read and write.
pub(crate) struct Speaker<M = Model> {
    pub(crate) folder: PathBuf,
    pub(crate) model: M,
    pub(crate) tokenizer: Tokenizer,
}

/// A feed-forward or recurrent model, where `reference` is one; nothing for any other model.
pub(crate) fn classic(reference: &str, runs: &Path) -> anyhow::Result<Option<Speaker<AnyModel>>> {
    if is_gguf(reference) {
        return Ok(None);
    }
    let folder = folder(reference, runs)?;
    if !AnyModel::is_in(&folder) {
        return Ok(None);
    }
    let model = AnyModel::load(&folder).with_context(|| format!("loading the model {}", folder.display()))?;
    let tokenizer = load_tokenizer(&folder)?;
    Ok(Some(Speaker { folder, model, tokenizer }))
}

fn load_tokenizer(folder: &Path) -> anyhow::Result<Tokenizer> {
    Tokenizer::load(folder).with_context(|| format!("loading the tokenizer of {}", folder.display()))
}

/// A model that goes on from a prompt.
pub(crate) trait GoesOn {
    /// The new tokens; see [`inkstone_engine::generate`].
    fn go_on(
        &self,
        prompt: &[u32],
        sampling: &Sampling,
        on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
    ) -> Result<Vec<u32>, inkstone_engine::EngineError>;
}

impl GoesOn for Model {
    fn go_on(
        &self,
        prompt: &[u32],
        sampling: &Sampling,
        on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
    ) -> Result<Vec<u32>, inkstone_engine::EngineError> {
        inkstone_engine::generate(self, prompt, sampling, on_token)
    }
}

impl GoesOn for AnyModel {
    fn go_on(
        &self,
        prompt: &[u32],
        sampling: &Sampling,
        on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
    ) -> Result<Vec<u32>, inkstone_engine::EngineError> {
        let mut reader = Reader { network: self, state: self.begin() };
        inkstone_engine::generate_with(&mut reader, prompt, sampling, on_token)
    }
}

/// A network with what it remembers.
struct Reader<'a> {
    network: &'a AnyModel,
    state: AnyState,
}

impl NextToken for Reader<'_> {
    fn logits(&mut self, new: &[u32]) -> Vec<f32> {
        self.network.last_logits(new, &mut self.state)
    }

    fn vocab_size(&self) -> usize {
        self.network.vocab_size()
    }

    fn context(&self) -> usize {
        usize::MAX
    }
}

/// The folder of an n-gram model: a path, `recipe/stage`, or the beginning of an id; nothing for any other model.
pub(crate) fn ngram_folder(reference: &str, runs: &Path) -> Option<PathBuf> {
    let path = PathBuf::from(reference);
    let stored = || runs.is_dir().then(|| Store::open(runs).ok()).flatten()?.find(reference).ok();
    let folder = if path.exists() { path } else { stored()?.folder };
    inkstone_classic::ngram::folder::is_ngram_folder(&folder).then_some(folder)
}

/// The folder of a model: a path, `recipe/stage`, or the beginning of an id.
pub(crate) fn folder(reference: &str, runs: &Path) -> anyhow::Result<PathBuf> {
    let path = Path::new(reference);
    if is_model(path) {
        return Ok(path.to_owned());
    }
    if path.exists() && Artifact::open(path).is_err() {
        return Err(hinted(
            format!("{reference} is no model folder: it has no config.json"),
            "give a folder with config.json, model.safetensors and tokenizer.json",
        ));
    }
    let found = runs.is_dir().then(|| Store::open(runs)).transpose()?.and_then(|store| store.find(reference).ok());
    match found {
        Some(artifact) if is_model(&artifact.folder) => Ok(artifact.folder),
        Some(artifact) => Err(hinted(
            format!("{reference} is no model: it was made by a stage of kind `{}`", artifact.manifest.kind),
            "models are made by stages of kind `pretrain`, `sft`, `recurrent` and `feed_forward`; `inkstone ls` lists them",
        )),
        None => Err(hinted(
            format!("there is no model {reference}"),
            "`inkstone ls` shows the artifacts; `inkstone run` makes one",
        )),
    }
}

/// Whether a folder holds a model, whole or with an adapter beside it.
fn is_model(folder: &Path) -> bool {
    [folder.to_owned(), folder.join(inkstone_train::peft::BASE)]
        .iter()
        .any(|folder| folder.join("config.json").is_file())
}

/// Whether `reference` is a GGUF file.
pub(crate) fn is_gguf(reference: &str) -> bool {
    let path = Path::new(reference);
    names_gguf(path) && path.is_file()
}

/// Whether a file of this name is a GGUF file.
pub(crate) fn names_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

/// Loads a model without its tokenizer, and tells how many bytes its weights have where they are stored.
pub(crate) fn load_weights(reference: &str, runs: &Path) -> anyhow::Result<(Model, u64)> {
    let device = inkstone_nn::device();
    if is_gguf(reference) {
        let loading = || format!("loading the model {reference}");
        let file = GgufModel::open(Path::new(reference)).with_context(loading)?;
        // A table that is no head as well is not read for a token, but for a row of it.
        let looked_up = |name: &&str| *name == "token_embd.weight" && file.file().contains("output.weight");
        let names = file.file().names().filter(|name| !looked_up(name));
        let tensors = names.filter_map(|name| file.file().tensor(name).ok());
        let bytes = tensors.map(|tensor| tensor.bytes.len() as u64).sum();
        return Ok((file.load(&device).with_context(loading)?, bytes));
    }
    let folder = folder(reference, runs)?;
    let model = inkstone_train::peft::merged(&folder, &[], (inkstone_nn::Precision::F32, &device));
    let model = model.with_context(|| format!("loading the model {}", folder.display()))?;
    let bytes = model.n_parameters() * size_of::<f32>() as u64;
    Ok((model, bytes))
}

/// A smaller model that guesses the tokens of `model`.
pub(crate) fn load_draft(reference: &str, model: &Model, runs: &Path) -> anyhow::Result<Arc<Model>> {
    let (small, _) = load_weights(reference, runs)?;
    if small.vocab_size() != model.vocab_size() || small.kind() != Kind::Decoder {
        let got = format!("{reference} has {} token ids, the model {}", small.vocab_size(), model.vocab_size());
        return Err(hinted(got, "a model that guesses is a decoder with the same tokenizer"));
    }
    Ok(Arc::new(small))
}

/// Loads model and tokenizer.
pub(crate) fn load(reference: &str, adapters: &cli::Adapters, runs: &Path) -> anyhow::Result<Speaker> {
    if is_gguf(reference) {
        if !adapters.adapters.is_empty() {
            let hint = format!("make a folder of it first: inkstone convert {reference} -o FOLDER");
            return Err(hinted(format!("{reference}: adapters go into the weights of a model folder"), hint));
        }
        let loading = || format!("loading the model {reference}");
        let file = GgufModel::open(Path::new(reference)).with_context(loading)?;
        let model = file.load(&inkstone_nn::device()).with_context(loading)?;
        let tokenizer = file.tokenizer().with_context(|| format!("loading the tokenizer of {reference}"))?;
        return Ok(Speaker { folder: PathBuf::from(reference), model, tokenizer });
    }
    let folder = folder(reference, runs)?;
    let model = adapted(&folder, adapters)?;
    let tokenizer = load_tokenizer(&folder)?;
    Ok(Speaker { folder, model, tokenizer })
}

/// A model, and then the same with each of the adapters around it: PEFT folders. All share its weights.
pub(crate) fn load_shared(reference: &str, adapters: &[PathBuf], runs: &Path) -> anyhow::Result<Vec<Speaker>> {
    let (device, precision) = (inkstone_nn::device(), inkstone_nn::Precision::F32);
    let loading = || format!("loading the model {reference}");
    let mut shared = Shared::default();
    let file = is_gguf(reference).then(|| GgufModel::open(Path::new(reference))).transpose().with_context(loading)?;
    let folder = if file.is_some() { PathBuf::from(reference) } else { folder(reference, runs)? };
    let base = if let Some(file) = &file {
        file.load_shared(&mut shared, &device).with_context(loading)?
    } else {
        let folder = ModelFolder::open(&folder).with_context(loading)?;
        let mut read = Read::new(&folder);
        let base = Model::build(folder.config(), &mut shared.recording(&mut read), precision, &device);
        let base = base.with_context(loading)?;
        read.finish().with_context(loading)?;
        base
    };
    let around = |path: &PathBuf| {
        let adapter = Adapter::open(path)?;
        adapter.around(base.config_json(), &mut shared.again(), (precision, &device), 0)
    };
    let adapted: Vec<Model> = adapters
        .iter()
        .map(|path| around(path).with_context(|| format!("loading the adapter {}", path.display())))
        .collect::<Result<_, _>>()?;
    let speaker = |model| {
        let tokenizer = match &file {
            Some(file) => file.tokenizer().with_context(|| format!("loading the tokenizer of {reference}"))?,
            None => load_tokenizer(&folder)?,
        };
        Ok(Speaker { folder: folder.clone(), model, tokenizer })
    };
    std::iter::once(base).chain(adapted).map(speaker).collect()
}

/// The model of a folder, with adapters in its weights.
pub(crate) fn adapted(folder: &Path, adapters: &cli::Adapters) -> anyhow::Result<Model> {
    let adapters: Vec<(&Path, f64)> = adapters.adapters.iter().map(|text| adapter(text)).collect::<Result<_, _>>()?;
    inkstone_train::peft::merged(folder, &adapters, (inkstone_nn::Precision::F32, &inkstone_nn::device()))
        .with_context(|| format!("loading the model {}", folder.display()))
}

/// `DIR` or `DIR@FACTOR`.
fn adapter(text: &str) -> anyhow::Result<(&Path, f64)> {
    if Path::new(text).exists() {
        return Ok((Path::new(text), 1.0));
    }
    let Some((path, factor)) = text.rsplit_once('@') else { return Ok((Path::new(text), 1.0)) };
    match factor.parse::<f64>() {
        Ok(factor) if factor.is_finite() => Ok((Path::new(path), factor)),
        _ => Err(hinted(format!("--adapter {text}: {factor:?} is no number"), "write DIR@0.5")),
    }
}

impl<M: GoesOn> Speaker<M> {
    /// The engine's settings: the command line's, else those of `generation_config.json`.
    pub(crate) fn sampling(&self, asked: &cli::Sampling) -> Sampling {
        let defaults = self.defaults();
        Sampling {
            max_new_tokens: asked.max_new_tokens,
            temperature: asked.temperature.unwrap_or(defaults.temperature),
            top_k: asked.top_k.or(defaults.top_k),
            top_p: asked.top_p.or(defaults.top_p),
            min_p: asked.min_p,
            repetition_penalty: asked.repetition_penalty,
            seed: asked.seed,
            ..defaults
        }
    }

    /// The settings of `generation_config.json`.
    pub(crate) fn defaults(&self) -> Sampling {
        let path = self.folder.join("generation_config.json");
        let config: serde_json::Value =
            std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let number = |name: &str| config.get(name).and_then(serde_json::Value::as_f64).map(|x| x as f32);
        let defaults = Sampling {
            temperature: number("temperature").unwrap_or(0.7),
            top_k: number("top_k").map(|k| k as usize),
            top_p: number("top_p"),
            stop_ids: self.tokenizer.stop_ids(),
            ..Sampling::greedy()
        };
        // A file from elsewhere may say what makes no sense.
        if defaults.validate().is_ok() {
            defaults
        } else {
            Sampling { temperature: 0.7, stop_ids: self.tokenizer.stop_ids(), ..Sampling::greedy() }
        }
    }

    /// Goes on from `prompt`, handing out text as it comes; stops before any of `stop`.
    pub(crate) fn speak(
        &self,
        prompt: &[u32],
        sampling: &Sampling,
        stop: &[String],
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> anyhow::Result<Spoken> {
        let mut decoder = self.tokenizer.decoder();
        let mut stopper = StopStrings::new(stop);
        let mut text = String::new();
        let mut flow = ControlFlow::Continue(());
        let mut hand_out = |piece: &str, text: &mut String| {
            text.push_str(piece);
            if piece.is_empty() { ControlFlow::Continue(()) } else { on_text(piece) }
        };
        let ids = self.model.go_on(prompt, sampling, &mut |id| {
            let Some(piece) = decoder.push(id) else { return ControlFlow::Continue(()) };
            let (piece, stopped) = stopper.push(&piece);
            flow = hand_out(&piece, &mut text);
            if stopped { ControlFlow::Break(()) } else { flow }
        })?;
        if flow.is_continue() && stopper.met().is_none() {
            let rest = decoder.finish().unwrap_or_default();
            let (mut piece, stopped) = stopper.push(&rest);
            if !stopped {
                piece.push_str(&stopper.rest());
            }
            let _ = hand_out(&piece, &mut text);
        }
        Ok(Spoken { text, tokens: ids })
    }
}

/// What a model said.
pub(crate) struct Spoken {
    pub(crate) text: String,
    pub(crate) tokens: Vec<u32>,
}
