//! Tokenizers from before `tokenizer.json`, beside the libraries that they come from (`fixtures/scripts/older_tokenizers.py`).

use std::path::{Path, PathBuf};

use inkstone_tokenizer::Tokenizer;
use serde_json::Value;

fn folder(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tokenizers")).join(name)
}

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(folder("expected.json")).unwrap()).unwrap()
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn ids_are_those_of_the_original_libraries() {
    let expected = expected();
    for name in ["unigram", "bpe", "gpt2", "wordpiece"] {
        let tokenizer = Tokenizer::load(&folder(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (n, text) in strings(&expected["texts"]).into_iter().enumerate() {
            let ids: Vec<u32> = serde_json::from_value(expected[name]["ids"][n].clone()).unwrap();
            assert_eq!(tokenizer.encode(text).unwrap(), ids, "{name}: {text:?}");
        }
    }
}

#[test]
fn sentence_piece_texts_come_back() {
    let expected = expected();
    let tokenizer = Tokenizer::load(&folder("bpe")).unwrap();
    for (n, text) in strings(&expected["bpe"]["texts"]).into_iter().enumerate() {
        let ids: Vec<u32> = serde_json::from_value(expected["bpe"]["ids"][n].clone()).unwrap();
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }
}

#[test]
fn special_tokens_have_their_roles() {
    let load = |name| Tokenizer::load(&folder(name)).unwrap();
    let spm = load("bpe");
    assert_eq!([spm.bos(), spm.eos(), spm.unk()], ["<s>", "</s>", "<unk>"].map(|token| spm.token_id(token)));
    let gpt2 = load("gpt2");
    assert!(gpt2.eos().is_some() && gpt2.eos() == gpt2.token_id("<|endoftext|>"));
    let wordpiece = load("wordpiece");
    assert!(wordpiece.pad() == wordpiece.token_id("[PAD]") && wordpiece.unk() == wordpiece.token_id("[UNK]"));
}

#[test]
fn a_saved_one_is_a_tokenizer_json_with_the_same_ids() {
    for name in ["unigram", "bpe", "gpt2", "wordpiece"] {
        let (tokenizer, out) = (Tokenizer::load(&folder(name)).unwrap(), tempfile::tempdir().unwrap());
        tokenizer.save(out.path()).unwrap();
        let again = Tokenizer::load(out.path()).unwrap();
        for text in ["The baker opens the market.", "\u{9547}\u{4e0a}"] {
            assert_eq!(again.encode(text).unwrap(), tokenizer.encode(text).unwrap(), "{name}");
        }
        assert_eq!(
            [again.bos(), again.eos(), again.pad(), again.unk()],
            [tokenizer.bos(), tokenizer.eos(), tokenizer.pad(), tokenizer.unk()]
        );
    }
}

#[test]
fn damage_is_named_with_its_place() {
    let fails = |files: &[(&str, &[u8])], parts: &[&str]| {
        let place = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(place.path().join(name), bytes).unwrap();
        }
        let error = Tokenizer::load(place.path()).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{part}: {error}");
        }
    };
    fails(&[("vocab.txt", b"a\nb\n")], &["vocab.txt", "[UNK]"]);
    fails(
        &[("vocab.json", b"{\"a\": 0, \"b\": 1}"), ("merges.txt", b"#version: 0.2\na b\n")],
        &["merges.txt", "line 2", "`ab`"],
    );
    fails(&[("tokenizer.model", b"\x0a\xff")], &["tokenizer.model"]);
    fails(&[], &["tokenizer.json"]);
}
