//! The stages, over a corpus and a chat stage as they really run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use inkstone_corpus::chat::read_conversations;
use inkstone_corpus::shards::TokenShard;
use inkstone_corpus::{ChatStage, CorpusStage, Split, read_documents};
use inkstone_recipe::{Artifact, Context, Forecast, Interrupt, Machine, Metrics, Silent, Stage, StageError};
use inkstone_tokenizer::{Tokenizer, TokenizerStage, TokensStage};
use serde_json::{Value, json};

use crate::support::{files, texts};

/// A folder in which stages run.
struct Workshop {
    folder: tempfile::TempDir,
    artifacts: BTreeMap<String, Artifact>,
    interrupt: Interrupt,
}

impl Workshop {
    /// With the stages `corpus` and `chat`.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lines: String = texts().iter().map(|text| json!({ "text": text }).to_string() + "\n").collect();
        std::fs::write(folder.path().join("texts.jsonl"), lines).unwrap();
        let chat: String = (0..40)
            .map(|n| {
                let turn = |role: &str, content: String| json!({"role": role, "content": content});
                let turns = [
                    turn("user", format!("Who sells boat {n}?")),
                    turn("assistant", format!("Old Tom sells boat {n}.")),
                    turn("user", format!("那第{n}条船呢？")),
                    turn("assistant", "渔夫<|im_end|>卖掉了。".repeat(n % 7 + 1)),
                ];
                json!({ "messages": turns }).to_string() + "\n"
            })
            .collect();
        std::fs::write(folder.path().join("chat.jsonl"), chat).unwrap();
        let mut workshop = Self { folder, artifacts: BTreeMap::new(), interrupt: Interrupt::default() };
        workshop.make::<CorpusStage>("corpus", &[], json!({"paths": ["texts.jsonl"]})).unwrap();
        workshop.make::<ChatStage>("chat", &[], json!({"paths": ["chat.jsonl"], "validation": 0.2})).unwrap();
        workshop
    }

    /// Runs a stage; `inputs` are pairs of field and stage.
    fn make<S: Stage>(&mut self, name: &str, inputs: &[(&str, &str)], config: Value) -> Result<Metrics, StageError> {
        let config: S::Config = serde_json::from_value(config).unwrap();
        S::validate(&config).unwrap();
        let declared: Vec<(&str, String)> =
            S::inputs(&config).into_iter().map(|input| (input.field, input.stage)).collect();
        let given: Vec<(&str, String)> = inputs.iter().map(|(field, stage)| (*field, (*stage).to_owned())).collect();
        assert_eq!(declared, given);
        let (out, state) = (self.folder.path().join(name), self.folder.path().join(".state"));
        let _ = std::fs::remove_dir_all(&out);
        std::fs::create_dir_all(&out).unwrap();
        std::fs::create_dir_all(&state).unwrap();
        let inputs = inputs.iter().map(|(field, stage)| ((*field).to_owned(), self.artifacts[*stage].clone()));
        let context = Context::new(
            (out.clone(), state),
            inputs.collect(),
            7,
            self.folder.path().to_owned(),
            (&Silent, &self.interrupt),
        );
        let metrics = S::run(&config, &context)?;
        self.artifacts.insert(name.to_owned(), artifact(out, S::KIND, &metrics));
        Ok(metrics)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tokenizer(&mut self) -> Metrics {
        self.make::<TokenizerStage>("tokenizer", &[("from", "corpus")], json!({"from": "corpus", "vocab_size": 420}))
            .unwrap()
    }
}

fn artifact(folder: PathBuf, kind: &str, metrics: &Metrics) -> Artifact {
    let manifest = json!({
        "format": 1, "kind": kind, "stage": kind, "recipe": "r", "recipe_toml": "", "config": {}, "inputs": {},
        "sources": [], "base": "", "seed": 7, "program": "0", "stage_version": 1, "numeric_path": "", "key": "k",
        "content": "c", "started": "", "ended": "", "cost": { "seconds": 0.0, "peak_bytes": null, "joules": null },
        "predicted": null, "metrics": metrics, "files": [], "logs": [],
    });
    Artifact { folder, manifest: serde_json::from_value(manifest).unwrap() }
}

fn number(metrics: &Metrics, name: &str) -> u64 {
    metrics.get(name).and_then(Value::as_u64).unwrap_or_else(|| panic!("{name} in {metrics:?}"))
}

fn document(shard: &TokenShard, number: usize) -> (Vec<u32>, Vec<bool>) {
    let range = shard.document(number).range;
    (shard.tokens(range.clone()).collect(), range.map(|token| shard.is_learnt(token)).collect())
}

#[test]
fn a_tokenizer_is_made() {
    let mut workshop = Workshop::new();
    let metrics = workshop.tokenizer();
    assert_eq!(number(&metrics, "vocab_size"), 420);
    let ratio = metrics["bytes_per_token"].as_f64().unwrap();
    assert!((2.0..12.0).contains(&ratio), "{ratio}");
    assert!(Tokenizer::load(&workshop.path("tokenizer")).unwrap().has_chat_template());
}

#[test]
fn chat_data_and_a_template_of_ones_own() {
    let mut workshop = Workshop::new();
    std::fs::write(workshop.path("own.jinja"), "{{ messages[0].content }}").unwrap();
    let config = json!({"from": "corpus", "chat": "chat", "algorithm": "character", "chat_template": "own.jinja"});
    workshop.make::<TokenizerStage>("tokenizer", &[("from", "corpus"), ("chat", "chat")], config.clone()).unwrap();
    let tokenizer = Tokenizer::load(&workshop.path("tokenizer")).unwrap();
    assert_eq!(tokenizer.chat_template(), Some("{{ messages[0].content }}"));
    assert!(tokenizer.token_id("呢").is_some(), "only the chat data has this character");
    let sources = TokenizerStage::sources(&serde_json::from_value(config).unwrap(), Path::new("/r")).unwrap();
    assert_eq!(sources, [Path::new("/r/own.jinja")]);
    std::fs::remove_file(workshop.path("own.jinja")).unwrap();
    let config = json!({"from": "corpus", "algorithm": "byte", "chat_template": "own.jinja"});
    let error = workshop.make::<TokenizerStage>("t2", &[("from", "corpus")], config).unwrap_err();
    assert!(error.to_string().contains("own.jinja"), "{error}");
}

#[test]
fn a_sample_is_drawn_from_a_large_corpus() {
    let mut workshop = Workshop::new();
    let config = json!({"from": "corpus", "vocab_size": 2000, "sample_bytes": 4000});
    let error = workshop.make::<TokenizerStage>("t", &[("from", "corpus")], config.clone()).unwrap_err();
    let small = error.to_string();
    let config = json!({"from": "corpus", "vocab_size": 2000});
    let large = workshop.make::<TokenizerStage>("t", &[("from", "corpus")], config).unwrap_err().to_string();
    assert_ne!(small, large, "fewer texts give fewer tokens");
}

#[test]
fn documents_become_tokens_that_end() {
    let mut workshop = Workshop::new();
    workshop.tokenizer();
    let config = json!({"corpus": "corpus", "tokenizer": "tokenizer"});
    let inputs = [("corpus", "corpus"), ("tokenizer", "tokenizer")];
    let metrics = workshop.make::<TokensStage>("tokens", &inputs, config).unwrap();
    let tokenizer = Tokenizer::load(&workshop.path("tokenizer")).unwrap();
    for split in Split::ALL {
        let shard = TokenShard::open(&workshop.path("tokens"), split).unwrap();
        let documents = read_documents(&workshop.path("corpus"), split).unwrap();
        let mut count = 0;
        for (number, expected) in documents.map(Result::unwrap).enumerate() {
            let mut ids = tokenizer.encode(&expected.text).unwrap();
            ids.extend(tokenizer.eos());
            assert_eq!(document(&shard, number).0, ids);
            assert_eq!(shard.document(number).id, expected.id);
            count += 1;
        }
        assert_eq!(count, shard.n_documents());
        assert_eq!(number(&metrics, &format!("{}_documents", split.name())), count as u64);
        assert_eq!(number(&metrics, &format!("{}_tokens", split.name())), shard.n_tokens());
    }
    assert_eq!(number(&metrics, "train_loss_tokens"), number(&metrics, "train_tokens"));
    let bytes = workshop.artifacts["corpus"].manifest.metrics["train_bytes"].as_u64();
    assert_eq!(Some(number(&metrics, "train_bytes")), bytes);
    assert!(number(&metrics, "longest_document") > 5);
}

#[test]
fn conversations_become_tokens_with_a_mask() {
    let mut workshop = Workshop::new();
    workshop.tokenizer();
    let inputs = [("corpus", "chat"), ("tokenizer", "tokenizer")];
    let config = json!({"corpus": "chat", "tokenizer": "tokenizer"});
    let metrics = workshop.make::<TokensStage>("tokens", &inputs, config).unwrap();
    let tokenizer = Tokenizer::load(&workshop.path("tokenizer")).unwrap();
    let shard = TokenShard::open(&workshop.path("tokens"), Split::Train).unwrap();
    let conversations = read_conversations(&workshop.path("chat"), Split::Train).unwrap();
    for (number, conversation) in conversations.map(Result::unwrap).enumerate() {
        let (mut ids, mut mask) = tokenizer.encode_training(&conversation.messages).unwrap();
        ids.extend(tokenizer.eos());
        mask.push(false);
        assert_eq!(document(&shard, number), (ids, mask));
    }
    assert!(number(&metrics, "train_loss_tokens") < number(&metrics, "train_tokens"));
    assert_eq!(number(&metrics, "cut_conversations"), 0);
}

#[test]
fn rationales_are_learnt_by_choice_and_lengths_are_told() {
    let mut workshop = Workshop::new();
    workshop.tokenizer();
    let file = workshop.path("sums.jsonl");
    let record =
        json!({"question": "How many are two and three?", "rationale": "Two and three are added.", "answer": "Five."});
    std::fs::write(&file, record.to_string()).unwrap();
    let chat = json!({"paths": [file], "validation": 0.0});
    workshop.make::<inkstone_corpus::ChatStage>("sums", &[], chat).unwrap();
    let inputs = [("corpus", "sums"), ("tokenizer", "tokenizer")];
    let mut learnt = |all: bool| {
        let config = json!({"corpus": "sums", "tokenizer": "tokenizer", "append_eos": false, "loss_on_rationale": all});
        let metrics = workshop.make::<TokensStage>("tokens", &inputs, config).unwrap();
        let tokenizer = Tokenizer::load(&workshop.path("tokenizer")).unwrap();
        let (ids, mask) = document(&TokenShard::open(&workshop.path("tokens"), Split::Train).unwrap(), 0);
        assert_eq!(number(&metrics, "length_50"), ids.len() as u64);
        let kept: Vec<u32> = ids.into_iter().zip(mask).filter(|(_, said)| *said).map(|(id, _)| id).collect();
        tokenizer.decode(&kept).unwrap()
    };
    let (whole, result) = (learnt(true), learnt(false));
    assert!(whole.contains("Two and three are added.") && whole.contains("Five."), "{whole}");
    assert!(result.contains("Five.") && !result.contains("added"), "{result}");
}

#[test]
fn long_conversations_lose_their_last_turns() {
    let mut workshop = Workshop::new();
    workshop.tokenizer();
    let inputs = [("corpus", "chat"), ("tokenizer", "tokenizer")];
    let config = json!({"corpus": "chat", "tokenizer": "tokenizer", "context": 100});
    let metrics = workshop.make::<TokensStage>("tokens", &inputs, config).unwrap();
    let cut = number(&metrics, "cut_conversations");
    assert!(cut > 0 && cut < 40, "{cut}");
    assert!(number(&metrics, "longest_document") <= 100);
    let config = json!({"corpus": "corpus", "tokenizer": "tokenizer", "context": 100});
    let inputs = [("corpus", "corpus"), ("tokenizer", "tokenizer")];
    let error = workshop.make::<TokensStage>("t", &inputs, config).unwrap_err();
    assert!(error.to_string().contains("`context`"), "{error}");
}

#[test]
fn the_same_bytes_at_one_thread_and_two() {
    let mut workshop = Workshop::new();
    workshop.tokenizer();
    let inputs = [("corpus", "chat"), ("tokenizer", "tokenizer")];
    let config = json!({"corpus": "chat", "tokenizer": "tokenizer", "append_eos": false});
    let mut made = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| workshop.make::<TokensStage>("tokens", &inputs, config.clone())).unwrap();
        files(&workshop.path("tokens"))
    };
    assert_eq!(made(1), made(2));
}

#[test]
fn a_damaged_tokenizer_is_named() {
    let mut workshop = Workshop::new();
    workshop.tokenizer();
    let path = workshop.path("tokenizer").join("tokenizer.json");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let inputs = [("corpus", "corpus"), ("tokenizer", "tokenizer")];
    let config = json!({"corpus": "corpus", "tokenizer": "tokenizer"});
    let error = workshop.make::<TokensStage>("tokens", &inputs, config).unwrap_err();
    assert!(error.to_string().contains("tokenizer.json:"), "{error}");
}

#[test]
fn a_request_to_stop_is_heard() {
    let mut workshop = Workshop::new();
    workshop.interrupt.request();
    let config = json!({"from": "corpus", "vocab_size": 420});
    let error = workshop.make::<TokenizerStage>("tokenizer", &[("from", "corpus")], config).unwrap_err();
    assert!(matches!(error, StageError::Interrupted), "{error}");
}

#[test]
fn estimates_come_near() {
    let mut workshop = Workshop::new();
    let metrics = workshop.tokenizer();
    let inputs = [("corpus", "corpus"), ("tokenizer", "tokenizer")];
    let config = json!({"corpus": "corpus", "tokenizer": "tokenizer"});
    let measured = workshop.make::<TokensStage>("tokens", &inputs, config.clone()).unwrap();
    let forecast = |metrics: &Metrics| Forecast {
        metrics: metrics.iter().filter_map(|(k, v)| Some((k.clone(), v.as_f64()?))).collect(),
        ..Forecast::default()
    };
    let corpus = forecast(&workshop.artifacts["corpus"].manifest.metrics);
    let machine = Machine { threads: 2, ..Machine::default() };
    let inputs = BTreeMap::from([("corpus".to_owned(), corpus.clone()), ("tokenizer".to_owned(), forecast(&metrics))]);
    let estimate = TokensStage::estimate(&serde_json::from_value(config).unwrap(), &inputs, &machine);
    for name in ["train_tokens", "train_documents", "train_bytes", "validation_tokens", "train_loss_tokens"] {
        let (expected, got) = (measured[name].as_f64().unwrap(), estimate.metrics[name]);
        assert!((got / expected - 1.0).abs() < 0.25, "{name}: {got} for {expected}");
    }
    let config = serde_json::from_value(json!({"from": "corpus", "vocab_size": 420})).unwrap();
    let inputs = BTreeMap::from([("from".to_owned(), corpus)]);
    let estimate = TokenizerStage::estimate(&config, &inputs, &machine);
    assert_eq!(estimate.metrics["vocab_size"], 420.0);
    assert!(estimate.seconds.is_some_and(|s| s > 0.0) && estimate.metrics["bytes_per_token"] > 1.0);
}
