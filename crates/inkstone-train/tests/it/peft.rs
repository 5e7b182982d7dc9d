//! Adapters: those that the PEFT library made (`fixtures/scripts/peft_fixture.py`), and our own.

use std::path::{Path, PathBuf};

use inkstone_formats::safetensors::TensorFile;
use inkstone_models::{Model, NoObserver, Pass, likeliest};
use inkstone_nn::{Precision, device, training_device};
use inkstone_train::optimizer::Optimizer;
use inkstone_train::peft::{Adapter, FrozenBase, PeftTable, merged};

/// Largest difference of a logit: both sides compute in f32 and add in different orders (measured: 2e-6).
const TOLERANCE: f32 = 1e-4;
/// Largest difference of a logit between an adapter beside the weights and one merged into them.
const MERGED: f32 = 1e-5;

const MODELS: [&str; 3] = ["llama_tiny_tied", "gpt2_tiny", "bert_masked_tiny"];
const METHODS: [&str; 6] = ["lora", "rslora", "dora", "ia3", "prompt", "prefix"];

fn fixtures() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures"))
}

fn logits(model: &Model, ids: &[u32]) -> Vec<f32> {
    let mut observer = NoObserver;
    let logits = model.forward(ids, 2, &mut Pass::new(&mut observer));
    logits.into_data_as::<f32>().try_to_vec::<f32>().unwrap()
}

fn deviation(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| if (a - b).is_nan() { f32::INFINITY } else { (a - b).abs() }).fold(0.0, f32::max)
}

/// Ids and logits of a fixture.
fn oracle(adapter: &Path) -> (Vec<u32>, Vec<f32>) {
    let file = TensorFile::open(&adapter.join("oracle.safetensors")).unwrap();
    let ids = file.tensor("ids").unwrap().bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap()));
    (ids.collect(), file.f32("logits").unwrap())
}

fn each(mut test: impl FnMut(&str, &Path, &Path)) {
    for model in MODELS {
        for method in METHODS {
            let name = format!("{model}_{method}");
            test(&name, &fixtures().join(model), &fixtures().join("peft").join(&name));
        }
    }
}

#[test]
fn adapters_of_peft_give_its_logits_beside_the_weights_and_merged_into_them() {
    each(|name, base, folder| {
        let (ids, expected) = oracle(folder);
        let plain = Model::load(base, Precision::F32, &device()).unwrap();
        assert!(deviation(&logits(&plain, &ids), &expected) > 100.0 * TOLERANCE, "{name}: the adapter changes nothing");
        let beside = Adapter::open(folder).unwrap().wrap(base, (Precision::F32, &device()), 0).unwrap();
        let beside = logits(&beside, &ids);
        let merged = merged(base, &[(folder, 1.0)], (Precision::F32, &device())).unwrap();
        let merged = logits(&merged, &ids);
        let (apart, off) = (deviation(&beside, &merged), deviation(&beside, &expected));
        assert!(off <= TOLERANCE, "{name}: a logit deviates by {off:e}");
        assert!(apart <= MERGED, "{name}: merging moves a logit by {apart:e}");
    });
}

/// The same model in the same few bits (`bitsandbytes`), beside the weights and merged into them; and what is trained around it.
#[test]
fn adapters_over_few_bits_give_the_logits_of_peft_over_those_of_bitsandbytes() {
    for model in MODELS {
        for (method, base) in [("nf4", FrozenBase::Nf4), ("int8", FrozenBase::Int8)] {
            let name = format!("{model}_{method}");
            let (model, folder) = (fixtures().join(model), fixtures().join("peft").join(&name));
            let (ids, expected) = oracle(&folder);
            let adapter = Adapter::open(&folder).unwrap();
            let over = |base| adapter.clone().over(base).wrap(&model, (Precision::F32, &training_device()), 0).unwrap();
            let off = deviation(&logits(&over(Some(base)).valid(), &ids), &expected);
            assert!(off <= TOLERANCE, "{name}: a logit deviates by {off:e}");
            let plain = deviation(&logits(&over(None).valid(), &ids), &expected);
            assert!(plain > 10.0 * TOLERANCE, "{name}: few bits change nothing ({plain:e})");
        }
    }
}

#[test]
fn an_adapter_that_is_written_again_has_the_same_tensors() {
    each(|name, base, folder| {
        let adapter = Adapter::open(folder).unwrap();
        let model = adapter.wrap(base, (Precision::F32, &training_device()), 0).unwrap();
        let out = tempfile::tempdir().unwrap();
        adapter.save(&model, out.path()).unwrap();
        let (was, is) =
            (folder, out.path()).map_both(|f| TensorFile::open(&f.join("adapter_model.safetensors")).unwrap());
        assert_eq!(was.names().collect::<Vec<_>>(), is.names().collect::<Vec<_>>(), "{name}");
        for (tensor, view) in was.tensors() {
            assert_eq!((view.shape, view.bytes), (is.tensor(tensor).unwrap().shape, is.tensor(tensor).unwrap().bytes));
        }
    });
}

/// Both of a pair.
trait MapBoth<A> {
    fn map_both<B>(self, f: impl Fn(A) -> B) -> (B, B);
}

impl<'a> MapBoth<&'a Path> for (&'a Path, &'a Path) {
    fn map_both<B>(self, f: impl Fn(&'a Path) -> B) -> (B, B) {
        (f(self.0), f(self.1))
    }
}

#[test]
fn only_the_adapter_gets_gradients() {
    let base = fixtures().join("llama_tiny_tied");
    let folder = fixtures().join("peft/llama_tiny_tied_lora");
    let model = Adapter::open(&folder).unwrap().wrap(&base, (Precision::F32, &training_device()), 0).unwrap();
    let (ids, _) = oracle(&folder);
    let labels: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let mut gradients = model.loss(&ids, &labels, 2, None).mean.backward();
    let (mut trained, mut got) = (Vec::new(), Vec::new());
    model.visit_trainable(&mut |name, _, _| trained.push(name.to_owned()));
    model.visit_gradients(&mut gradients, &mut |name, gradient| {
        assert!(gradient.values().iter().any(|&x| x != 0.0), "{name} has no gradient");
        got.push(name.to_owned());
    });
    assert!(trained.iter().all(|name| name.contains("lora_")) && !trained.is_empty());
    assert_eq!(got, trained);
}

#[test]
fn an_adapter_of_another_base_is_named() {
    let error = |base: &str, adapter: &str| {
        let folder = fixtures().join("peft").join(adapter);
        let adapter = Adapter::open(&folder).unwrap();
        let failed = adapter.wrap(&fixtures().join(base), (Precision::F32, &device()), 0).map(|_| ()).unwrap_err();
        (failed.to_string(), failed.hint())
    };
    let (text, hint) = error("gpt2_tiny", "llama_tiny_tied_lora");
    assert!(text.contains("model.layers.0") && hint.unwrap().contains("base model"), "{text}");
    let (text, _) = error("llama3_tiny", "llama_tiny_tied_lora");
    assert!(text.contains("lora_A") && text.contains("shape"), "{text}");
}

#[test]
fn settings_that_are_not_implemented_are_refused() {
    for (field, value, expected) in
        [("modules_to_save", "[\"lm_head\"]", "modules_to_save"), ("peft_type", "\"VERA\"", "VERA"), ("r", "0", "`r`")]
    {
        let out = tempfile::tempdir().unwrap();
        let from = fixtures().join("peft/llama_tiny_tied_lora");
        std::fs::copy(from.join("adapter_model.safetensors"), out.path().join("adapter_model.safetensors")).unwrap();
        let text = std::fs::read_to_string(from.join("adapter_config.json")).unwrap();
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        config[field] = serde_json::from_str(value).unwrap();
        std::fs::write(out.path().join("adapter_config.json"), config.to_string()).unwrap();
        let text = Adapter::open(out.path()).map(|_| ()).unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    }
}

/// Adapters of ours that the PEFT library does not have: unchanged at first, and after a change beside the weights what they are when
/// they are read again.
#[test]
fn adapters_of_ours_begin_as_nothing_and_are_read_as_they_were_written() {
    let base = fixtures().join("llama_tiny_tied");
    let ids: Vec<u32> = (0..12).collect();
    let plain = logits(&Model::load(&base, Precision::F32, &device()).unwrap(), &ids);
    for table in [
        serde_json::json!({"method": "houlsby", "width": 4, "targets": ["o_proj", "down_proj"]}),
        serde_json::json!({"method": "pfeiffer", "width": 4, "targets": ["down_proj"]}),
        serde_json::json!({"method": "intrinsic", "dimensions": 6, "seed": 9}),
        serde_json::json!({"method": "prompt", "virtual_tokens": 3}),
        serde_json::json!({"method": "prefix", "virtual_tokens": 3}),
    ] {
        let (name, inert) = (table["method"].to_string(), table["method"] != "prompt" && table["method"] != "prefix");
        let table: PeftTable = serde_json::from_value(table).unwrap();
        table.validate().unwrap();
        let adapter = table.adapter().unwrap();
        let model = adapter.wrap(&base, (Precision::F32, &training_device()), 1).unwrap();
        assert_eq!(
            deviation(&logits(&model, &ids), &plain) == 0.0,
            inert,
            "{name} changes something before it is trained"
        );
        let moved = model.update_trainable(&mut |_, _, values| {
            values.iter_mut().enumerate().for_each(|(n, value)| *value += 0.02 * ((n * 7 % 11) as f32 - 5.0));
        });
        let out = tempfile::tempdir().unwrap();
        adapter.save(&moved, out.path()).unwrap();
        let beside = logits(&moved, &ids);
        assert!(deviation(&beside, &plain) > 1e-3, "{name} changes nothing");
        let read = merged(&base, &[(out.path(), 1.0)], (Precision::F32, &device())).unwrap();
        let off = deviation(&logits(&read, &ids), &beside);
        assert!(off <= MERGED, "{name}: reading moves a logit by {off:e}");
    }
}

/// Each document of a row has the prefix before it, and a cache begins with it.
#[test]
fn a_prefix_stands_before_every_document_and_in_a_cache() {
    for name in ["llama_tiny_tied", "gpt2_tiny"] {
        let (base, folder) = (fixtures().join(name), fixtures().join("peft").join(format!("{name}_prefix")));
        let model = Adapter::open(&folder).unwrap().wrap(&base, (Precision::F32, &device()), 0).unwrap();
        let rows = |ids: &[u32], starts: &[u32]| {
            let mut observer = NoObserver;
            let logits = model.forward(ids, 1, &mut Pass { starts: Some(starts), ..Pass::new(&mut observer) });
            logits.into_data_as::<f32>().try_to_vec::<f32>().unwrap()
        };
        let (first, second) = ([5, 9, 2, 7], [3, 1, 8, 8, 4]);
        let together = rows(&[&first[..], &second].concat(), &[0, 0, 0, 0, 4, 4, 4, 4, 4]);
        let apart = [rows(&first, &[0; 4]), rows(&second, &[0; 5])].concat();
        let off = deviation(&together, &apart);
        assert!(off <= MERGED, "{name}: another document moves a logit by {off:e}");
        let mut cache = model.cache(second.len());
        let said: Vec<f32> = second.chunks(2).map(|ids| model.last_logits(ids, &mut cache)).last().unwrap();
        let off = deviation(&said, &apart[apart.len() - said.len()..]);
        assert!(off <= MERGED, "{name}: a cache moves a logit by {off:e}");
    }
}

/// What stands at `at` of a row that follows a rule: each token says what the next one is.
fn ruled(row: usize, at: usize) -> u32 {
    (0..at).fold((row * 31 % 96) as u32, |id, _| (id * 29 + 11) % 96)
}

/// An adapter around `base` that has learnt the rule.
fn trained(base: &Path) -> tempfile::TempDir {
    const ROWS: usize = 8;
    const LENGTH: usize = 24;
    let table: PeftTable = serde_json::from_value(serde_json::json!({"method": "lora", "rank": 8})).unwrap();
    let adapter = table.adapter().unwrap();
    let mut model = adapter.wrap(base, (Precision::F32, &training_device()), 1).unwrap();
    let config = serde_json::json!({"learning_rate": 1e-2, "weight_decay": 0.0});
    let mut optimizer = Optimizer::new(&model, serde_json::from_value(config).unwrap());
    for step in 0..400 {
        let of = |from: usize| (0..ROWS * LENGTH).map(move |n| ruled(step * ROWS + n / LENGTH, from + n % LENGTH));
        let labels: Vec<i32> = of(1).map(|id| id as i32).collect();
        let loss = model.loss(&of(0).collect::<Vec<_>>(), &labels, ROWS, None);
        optimizer.accumulate(&model, &mut loss.mean.backward(), loss.counted);
        let norm = optimizer.gradient_norm();
        model = optimizer.step(model, 1e-2, norm, 1.0);
    }
    let out = tempfile::tempdir().unwrap();
    adapter.save(&model, out.path()).unwrap();
    out
}

/// In bfloat16 a merged weight is rounded once more than one that has its change beside it. Over 10,000 tokens of a model that has learnt
/// something, both say the same.
#[test]
fn merged_and_beside_say_the_same_in_bfloat16() {
    let base = fixtures().join("llama_tiny_tied");
    let out = trained(&base);
    let bf16 = (Precision::Bf16, &device());
    let beside = Adapter::open(out.path()).unwrap().wrap(&base, bf16, 0).unwrap();
    let merged = merged(&base, &[(out.path(), 1.0)], bf16).unwrap();
    let ids: Vec<u32> = (0..10_000).map(|n| ruled(5000 + n / 25, n % 25)).collect();
    let said = |model: &Model| likeliest(model.forward(&ids, 400, &mut Pass::new(&mut NoObserver)));
    let (beside, merged) = (said(&beside), said(&merged));
    let right = (0..10_000).filter(|&n| beside[n] == ruled(5000 + n / 25, n % 25 + 1) as i32).count();
    assert!(right > 9_500, "only {right} of 10,000 tokens are foreseen: nothing was learnt");
    let apart = beside.iter().zip(&merged).filter(|(a, b)| a != b).count();
    assert_eq!(apart, 0, "of 10,000 tokens {apart} are others after merging");
}

#[test]
fn an_adapter_is_taken_out_again_and_two_are_weighted() {
    let base = fixtures().join("llama_tiny_tied");
    let (lora, ia3) = (fixtures().join("peft/llama_tiny_tied_lora"), fixtures().join("peft/llama_tiny_tied_rslora"));
    let ids: Vec<u32> = (0..12).collect();
    let with = |adapters: &[(&Path, f64)]| logits(&merged(&base, adapters, (Precision::F32, &device())).unwrap(), &ids);
    let plain = with(&[]);
    let out = deviation(&with(&[(&lora, 1.0), (&lora, -1.0)]), &plain);
    assert!(out <= MERGED, "taking it out leaves {out:e}");
    let halves = deviation(&with(&[(&lora, 0.5), (&lora, 0.5)]), &with(&[(&lora, 1.0)]));
    assert!(halves <= MERGED, "two halves are {halves:e} from the whole");
    assert!(deviation(&with(&[(&lora, 0.3), (&ia3, 0.7)]), &plain) > TOLERANCE);
    assert!(deviation(&with(&[(&lora, 0.3), (&ia3, 0.7)]), &with(&[(&ia3, 0.7), (&lora, 0.3)])) <= MERGED);
}
