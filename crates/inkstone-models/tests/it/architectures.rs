//! An outside oracle for every architecture: each folder of `fixtures` with an `oracle.safetensors`, made by
//! `fixtures/scripts/models.py`, is loaded, and compared with what PyTorch made of it.

use std::path::{Path, PathBuf};

use inkstone_formats::hf::write_model;
use inkstone_formats::safetensors::{Dtype, TensorFile, TensorView};
use inkstone_models::{Model, NoObserver, Pass, Source, Tree, model_types};
use inkstone_nn::{Device, Precision, Tensor, device, training_device};
use serde_json::Value;

// Both sides compute in f32 and add in different orders.

/// Largest difference of a logit.
const LOGIT_TOLERANCE: f32 = 1e-4;
/// Largest difference of the loss, relative to it.
const LOSS_TOLERANCE: f64 = 1e-4;
/// Largest difference of an entry of a gradient, relative to the gradient's largest entry.
const GRADIENT_TOLERANCE: f32 = 1e-3;
/// Taken for the largest entry of a gradient that is nothing but rounding: that of a bias of keys, which moves all scores of
/// a query alike.
const LEAST_GRADIENT: f32 = 1e-4;

/// A tiny model made elsewhere, and what was made of it there.
struct Fixture {
    folder: PathBuf,
    name: String,
    oracle: Value,
    tensors: TensorFile,
}

impl Fixture {
    fn open(folder: &Path) -> Self {
        let oracle = std::fs::read(folder.join("oracle.json")).unwrap();
        Self {
            name: folder.file_name().unwrap().to_string_lossy().into_owned(),
            oracle: serde_json::from_slice(&oracle).unwrap(),
            tensors: TensorFile::open(&folder.join("oracle.safetensors")).unwrap(),
            folder: folder.to_owned(),
        }
    }

    fn model(&self, device: &Device) -> Model {
        Model::load(&self.folder, Precision::F32, device).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Integers of the oracle, rows one after the other.
    fn integers<T: TryFrom<i64, Error: std::fmt::Debug>>(&self, path: &str) -> Vec<T> {
        fn flat(value: &Value) -> Vec<i64> {
            value.as_array().map_or_else(|| vec![value.as_i64().unwrap()], |all| all.iter().flat_map(flat).collect())
        }
        let value = self.oracle.pointer(path).unwrap_or_else(|| panic!("{}: no {path}", self.name));
        flat(value).into_iter().map(|x| x.try_into().unwrap()).collect()
    }

    fn has(&self, path: &str) -> bool {
        self.oracle.pointer(path).is_some()
    }

    /// Compares the tensors of another folder with the fixture's, byte by byte.
    #[track_caller]
    fn is_again(&self, folder: &Path) {
        let open = |folder: &Path| TensorFile::open(&folder.join("model.safetensors")).unwrap();
        let (theirs, ours) = (open(&self.folder), open(folder));
        assert!(theirs.names().eq(ours.names()), "{}", self.name);
        for (name, theirs) in theirs.tensors() {
            let ours = ours.tensor(name).unwrap();
            assert!(ours.shape == theirs.shape && ours.bytes == theirs.bytes, "{}: {name}", self.name);
        }
    }

    #[track_caller]
    fn within(&self, what: &str, deviation: f32, tolerance: f32) {
        assert!(deviation <= tolerance, "{}: {what} deviates by {deviation:e}, more than {tolerance:e}", self.name);
    }

    /// Compares `got` with the oracle's tensor `name`.
    #[track_caller]
    fn compare(&self, name: &str, got: &[f32], tolerance: f32) {
        let expected = self.tensors.f32(name).unwrap();
        assert_eq!(got.len(), expected.len(), "{}: {name}", self.name);
        let difference = |(g, e): (&f32, &f32)| if (g - e).is_nan() { f32::INFINITY } else { (g - e).abs() };
        let deviation = got.iter().zip(&expected).map(difference).fold(0.0, f32::max);
        self.within(name, deviation, tolerance);
    }
}

fn fixtures() -> Vec<Fixture> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures"));
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all.iter().filter(|path| path.join("oracle.safetensors").is_file()).map(|path| Fixture::open(path)).collect()
}

fn logits(model: &Model, ids: &[u32], batch: usize, starts: Option<&[u32]>) -> Vec<f32> {
    let mut observer = NoObserver;
    let mut pass = Pass { starts, ..Pass::new(&mut observer) };
    numbers(model.forward(ids, batch, &mut pass))
}

/// What a fixture's pass is given besides the ids.
#[derive(Default)]
struct Given {
    segments: Option<Vec<u32>>,
    ends: Option<Vec<u32>>,
    source: Option<(Vec<u32>, Vec<u32>)>,
}

impl Given {
    fn of(fixture: &Fixture) -> Self {
        if fixture.has("/source") {
            let source = Some((fixture.integers("/source"), fixture.integers("/lengths")));
            return Self { source, ..Self::default() };
        }
        if !fixture.has("/segments") {
            return Self::default();
        }
        let (segments, lengths) = (fixture.integers::<u32>("/segments"), fixture.integers::<u32>("/lengths"));
        let length = segments.len() / lengths.len();
        let ends = (0..segments.len()).map(|n| lengths[n / length]).collect();
        Self { segments: Some(segments), ends: Some(ends), source: None }
    }

    fn pass<'a>(&'a self, observer: &'a mut NoObserver) -> Pass<'a> {
        let source = self.source.as_ref().map(|(ids, lengths)| Source { ids, lengths: Some(lengths) });
        Pass { segments: self.segments.as_deref(), ends: self.ends.as_deref(), source, ..Pass::new(observer) }
    }
}

fn numbers(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data_as::<f32>().try_to_vec::<f32>().unwrap()
}

fn argmax(values: &[f32]) -> u32 {
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap() as u32
}

#[test]
fn every_architecture_has_a_fixture() {
    let covered: Vec<Value> =
        fixtures().iter().map(|one| one.model(&device()).config_json()["model_type"].clone()).collect();
    for name in model_types() {
        assert!(covered.iter().any(|one| one == name) || name == "llama", "there is no fixture of {name}");
    }
}

#[test]
fn logits_are_those_of_pytorch() {
    for fixture in fixtures() {
        let (model, given, mut observer) = (fixture.model(&device()), Given::of(&fixture), NoObserver);
        let (got, sentences) = model.forward_pair(&fixture.integers("/ids"), 2, &mut given.pass(&mut observer));
        fixture.compare("logits", &numbers(got), LOGIT_TOLERANCE);
        assert_eq!(sentences.is_some(), fixture.has("/sentence_labels"), "{}", fixture.name);
        if let Some(sentences) = sentences {
            fixture.compare("sentences", &numbers(sentences), LOGIT_TOLERANCE);
        }
        if fixture.has("/documents") {
            let (ids, starts) = (fixture.integers("/documents/ids"), fixture.integers("/documents/starts"));
            fixture.compare("documents", &logits(&model, &ids, 1, Some(&starts)), LOGIT_TOLERANCE);
        }
    }
}

#[test]
fn loss_and_gradients_are_those_of_pytorch() {
    for fixture in fixtures() {
        let (model, given, mut observer) = (fixture.model(&training_device()), Given::of(&fixture), NoObserver);
        let labels = fixture.integers::<i32>("/labels");
        let sentences = if fixture.has("/sentence_labels") { fixture.integers("/sentence_labels") } else { Vec::new() };
        let ids = fixture.integers::<u32>("/ids");
        let loss = model.loss_in(&ids, (&labels, &sentences), 2, &mut given.pass(&mut observer)).mean;
        let mut gradients = loss.backward();
        let (got, expected) = (f64::from(loss.into_scalar::<f32>()), fixture.oracle["loss"].as_f64().unwrap());
        assert!(
            (got / expected - 1.0).abs() < LOSS_TOLERANCE,
            "{}: the loss is {got}, expected {expected}",
            fixture.name
        );
        let mut seen = 0;
        model.visit_gradients(&mut gradients, &mut |parameter, gradient| {
            let name = format!("gradient.{parameter}");
            let largest = fixture.tensors.f32(&name).unwrap().iter().fold(LEAST_GRADIENT, |top, x| top.max(x.abs()));
            fixture.compare(&name, gradient.values(), GRADIENT_TOLERANCE * largest);
            seen += 1;
        });
        let expected = fixture.tensors.names().filter(|name| name.starts_with("gradient.")).count();
        assert_eq!(seen, expected, "{}: parameters with a gradient", fixture.name);
    }
}

#[test]
fn blanks_are_filled_as_in_pytorch() {
    let mut seen = 0;
    for fixture in fixtures().into_iter().filter(|fixture| fixture.has("/infilling")) {
        let (ids, ends) = (fixture.integers("/infilling/ids"), fixture.integers::<u32>("/infilling/ends"));
        let places: Vec<u32> = fixture.integers("/infilling/places");
        let places: Vec<[u32; 2]> = places.chunks_exact(2).map(|place| [place[0], place[1]]).collect();
        let mut observer = NoObserver;
        let mut pass = Pass { places: Some(&places), ends: Some(&ends), ..Pass::new(&mut observer) };
        let logits = fixture.model(&device()).forward(&ids, 2, &mut pass);
        fixture.compare("infilling", &numbers(logits), LOGIT_TOLERANCE);
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn dictionaries_are_read_as_in_pytorch() {
    let mut seen = 0;
    for fixture in fixtures().into_iter().filter(|fixture| fixture.has("/dictionary")) {
        let integers = |name: &str| fixture.integers::<u32>(&format!("/dictionary/{name}"));
        let (ids, ends, numbers) = (integers("ids"), integers("ends"), integers("numbers"));
        let (segments, relations) = (integers("segments"), integers("relations"));
        let (model, mut observer) = (fixture.model(&device()), NoObserver);
        let tree = |numbers, segments, relations| Some(Tree { numbers, segments, relations });
        let mut pass = Pass { ends: Some(&ends), ..Pass::new(&mut observer) };
        pass.tree = tree(&numbers, &segments, &relations);
        fixture.compare("dictionary", &numbers_of(&model, &ids, 2, &mut pass), LOGIT_TOLERANCE);

        // The first row with a cache: what is given at once, what is said one by one.
        let (t, v, given) = (ids.len() / 2, model.vocab_size(), ends[0] as usize);
        let mut cache = model.cache(t);
        let mut logits = Vec::new();
        for (from, to) in std::iter::once((0, given)).chain((given..t).map(|at| (at, at + 1))) {
            let ends = vec![to as u32; to - from];
            let mut pass = Pass { ends: Some(&ends), cache: Some(&mut cache), ..Pass::new(&mut observer) };
            pass.tree = tree(&numbers[from..to], &segments[..to], &relations[..relations.len() / 2]);
            logits.extend(numbers_of(&model, &ids[from..to], 1, &mut pass));
        }
        let whole = fixture.tensors.f32("dictionary").unwrap();
        let deviation = logits.iter().zip(&whole[..t * v]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        fixture.within("cached dictionary", deviation, LOGIT_TOLERANCE);
        seen += 1;
    }
    assert!(seen > 0);
}

fn numbers_of(model: &Model, ids: &[u32], batch: usize, pass: &mut Pass<'_>) -> Vec<f32> {
    numbers(model.forward(ids, batch, pass))
}

#[test]
fn greedy_tokens_with_a_cache_are_those_of_pytorch_without() {
    for fixture in fixtures().into_iter().filter(|fixture| fixture.has("/greedy")) {
        let model = fixture.model(&device());
        let (prompt, expected) = (fixture.integers::<u32>("/greedy/prompt"), fixture.integers::<u32>("/greedy/tokens"));
        let mut cache = model.cache(prompt.len() + expected.len());
        let source = fixture.has("/greedy/source").then(|| fixture.integers::<u32>("/greedy/source"));
        let source = source.as_deref().map(|ids| Source { ids, lengths: None });
        let mut tokens = vec![argmax(&model.last_logits_after(source, &prompt, &mut cache))];
        while tokens.len() < expected.len() {
            tokens.push(argmax(&model.last_logits(&tokens[tokens.len() - 1..], &mut cache)));
        }
        assert_eq!(tokens, expected, "{}", fixture.name);
    }
}

#[test]
fn a_folder_comes_back_with_the_same_tensors_under_the_same_names() {
    for fixture in fixtures() {
        let folder = tempfile::tempdir().unwrap();
        fixture.model(&device()).save(folder.path()).unwrap();
        fixture.is_again(folder.path());
        let config = |folder: &Path| {
            serde_json::from_slice::<Value>(&std::fs::read(folder.join("config.json")).unwrap()).unwrap()
        };
        assert_eq!(config(folder.path()), config(&fixture.folder), "{}", fixture.name);
    }
}

/// The fixture's model in the layout in which ChatGLM was published: other names, queries, keys and values in one matrix.
fn as_chatglm(fixture: &Fixture, folder: &Path) {
    let model = TensorFile::open(&fixture.folder.join("model.safetensors")).unwrap();
    let config = fixture.model(&device()).config_json().clone();
    let renamed = |name: &str| {
        let begun =
            name.replace("model.layers.", "transformer.encoder.layers.").replace("self_attn.", "self_attention.");
        let ended = begun
            .replace("o_proj", "dense")
            .replace("gate_up_proj", "dense_h_to_4h")
            .replace("down_proj", "dense_4h_to_h");
        let ended = ended.replace("model.embed_tokens", "transformer.embedding.word_embeddings");
        ended
            .replace("model.norm", "transformer.encoder.final_layernorm")
            .replace("lm_head", "transformer.output_layer")
    };
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, view) in model.tensors().filter(|(name, _)| !name.contains("k_proj") && !name.contains("v_proj")) {
        let Some((before, after)) = name.split_once("q_proj") else {
            tensors.push((renamed(name), view.shape.to_vec(), view.bytes.to_vec()));
            continue;
        };
        let parts = ["q_proj", "k_proj", "v_proj"].map(|part| model.tensor(&format!("{before}{part}{after}")).unwrap());
        let mut shape = view.shape.to_vec();
        shape[0] = parts.iter().map(|part| part.shape[0]).sum();
        let bytes = parts.iter().flat_map(|part| part.bytes.to_vec()).collect();
        tensors.push((renamed(&format!("{before}query_key_value{after}")), shape, bytes));
    }
    let views: Vec<_> = tensors
        .iter()
        .map(|(name, shape, bytes)| (name.clone(), TensorView { dtype: Dtype::F32, shape, bytes }))
        .collect();
    let older = serde_json::json!({
        "architectures": ["ChatGLMModel"], "model_type": "chatglm", "rmsnorm": true, "add_bias_linear": false,
        "padded_vocab_size": config["vocab_size"], "hidden_size": config["hidden_size"],
        "ffn_hidden_size": config["intermediate_size"], "num_layers": config["num_hidden_layers"],
        "num_attention_heads": config["num_attention_heads"], "multi_query_attention": true,
        "multi_query_group_num": config["num_key_value_heads"], "kv_channels": config["head_dim"],
        "seq_length": config["max_position_embeddings"], "layernorm_epsilon": config["rms_norm_eps"],
        "add_qkv_bias": config["attention_bias"],
    });
    write_model(folder, &older, None, &views, u64::MAX).unwrap();
}

#[test]
fn the_first_layout_of_chatglm_is_read_and_written_as_that_of_today() {
    let fixture = fixtures().into_iter().find(|fixture| fixture.name == "glm_tiny").unwrap();
    let (older, newer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    as_chatglm(&fixture, older.path());
    let model = Model::load(older.path(), Precision::F32, &device()).unwrap();
    fixture.compare("logits", &logits(&model, &fixture.integers("/ids"), 2, None), LOGIT_TOLERANCE);
    model.save(newer.path()).unwrap();
    fixture.is_again(newer.path());
    assert_eq!(model.config_json()["model_type"], "glm");
}

#[test]
fn parameters_are_counted_without_building_the_model() {
    for fixture in fixtures() {
        let (model, mut count) = (fixture.model(&device()), 0);
        model.visit_parameters(&mut |_, _, values| count += values.len() as u64);
        assert_eq!(model.n_parameters(), count, "{}", fixture.name);
        assert!(model.flops_per_token(8) > 6.0 * 500.0, "{}", fixture.name);
    }
}
