//! Folders, ours and those of others.

use std::path::Path;

use inkstone_tokenizer::{Algorithm, Tokenizer};
use serde_json::{Value, json};

use crate::support::{ALL, conversation, files, texts, trained};

#[test]
fn saved_and_loaded_it_is_the_same() {
    for algorithm in ALL {
        let tokenizer = trained(algorithm);
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        tokenizer.save(a.path()).unwrap();
        let loaded = Tokenizer::load(a.path()).unwrap();
        loaded.save(b.path()).unwrap();
        for (ours, theirs) in files(a.path()).into_iter().zip(files(b.path())) {
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            assert_eq!(ours.0, theirs.0);
            assert_eq!(text(ours.1), text(theirs.1), "{algorithm:?} {}", ours.0);
        }
        assert_eq!(loaded.vocab_size(), tokenizer.vocab_size());
        assert_eq!(loaded.stop_ids(), tokenizer.stop_ids());
        assert_eq!(
            (loaded.bos(), loaded.eos(), loaded.pad(), loaded.unk()),
            (tokenizer.bos(), tokenizer.eos(), tokenizer.pad(), tokenizer.unk())
        );
        for text in texts() {
            assert_eq!(loaded.encode(&text).unwrap(), tokenizer.encode(&text).unwrap());
        }
        let turns = conversation();
        assert_eq!(loaded.encode_training(&turns).unwrap(), tokenizer.encode_training(&turns).unwrap());
    }
}

#[test]
fn the_files_are_what_transformers_expects() {
    let folder = tempfile::tempdir().unwrap();
    let mut tokenizer = trained(Algorithm::Unigram);
    tokenizer.set_model_max_length(512);
    tokenizer.save(folder.path()).unwrap();
    let names: Vec<String> = files(folder.path()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["chat_template.jinja", "tokenizer.json", "tokenizer_config.json"]);
    let config = read(&folder.path().join("tokenizer_config.json"));
    assert_eq!(config["tokenizer_class"], "PreTrainedTokenizerFast");
    assert_eq!(config["model_max_length"], 512);
    assert_eq!(config["eos_token"], "<|endoftext|>");
    assert_eq!(config["bos_token"], "<|endoftext|>");
    assert_eq!(config["pad_token"], "<|pad|>");
    assert_eq!(config["unk_token"], "<|unk|>");
    assert_eq!(config["add_bos_token"], false);
    assert_eq!(config["clean_up_tokenization_spaces"], false);
    let json = read(&folder.path().join("tokenizer.json"));
    assert_eq!(json["version"], "1.0");
    assert_eq!(json["model"]["type"], "Unigram");
    assert_eq!(json["model"]["byte_fallback"], true);
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn write(path: &Path, value: &Value) {
    std::fs::write(path, value.to_string()).unwrap();
}

#[test]
fn folders_as_others_write_them() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = trained(Algorithm::Bpe);
    tokenizer.save(folder.path()).unwrap();
    let next = tokenizer.vocab_size();
    std::fs::remove_file(folder.path().join("chat_template.jinja")).unwrap();
    write(
        &folder.path().join("tokenizer_config.json"),
        &json!({
            "chat_template": [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "{{ bos_token }}{{ messages[0].content }}"}],
            "added_tokens_decoder": {(next.to_string()): {"content": "<tool>", "special": true, "lstrip": false, "rstrip": false, "normalized": false, "single_word": false}},
            "bos_token": {"content": "<|im_start|>", "__type": "AddedToken"},
            "pad_token": null,
            "mask_token": "<mask>",
        }),
    );
    write(&folder.path().join("special_tokens_map.json"), &json!({"eos_token": {"content": "<|im_end|>"}}));
    let loaded = Tokenizer::load(folder.path()).unwrap();
    assert_eq!(loaded.bos(), tokenizer.token_id("<|im_start|>"));
    assert_eq!(loaded.eos(), tokenizer.token_id("<|im_end|>"));
    assert_eq!(loaded.pad(), None);
    assert_eq!(loaded.token_id("<tool>"), Some(next as u32));
    assert_eq!(loaded.token_id("<mask>"), Some(next as u32 + 1));
    assert_eq!(loaded.vocab_size(), next + 2);
    let text = loaded.render_chat(&conversation(), true).unwrap();
    assert_eq!(text, "<|im_start|>You know the town.");
    assert!(loaded.encode("<tool><mask>").unwrap().iter().all(|&id| !loaded.is_special(id)));
}

/// Other programs keep special tokens in the model's vocabulary, where text can reach them.
#[test]
fn special_tokens_inside_the_model_do_not_arise_either() {
    let folder = tempfile::tempdir().unwrap();
    let pieces: Vec<Value> = ["<unk>", "</s>", "<", "/", "s", ">", "a", "▁"]
        .iter()
        .map(|piece| json!([piece, if piece.len() > 3 { 0.0 } else { -3.0 }]))
        .collect();
    let special = |id: u32, content: &str| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    write(
        &folder.path().join("tokenizer.json"),
        &json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": [special(0, "<unk>"), special(1, "</s>")],
            "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
            "model": {"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": false},
        }),
    );
    write(&folder.path().join("tokenizer_config.json"), &json!({"eos_token": "</s>", "unk_token": "<unk>"}));
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    assert_eq!(tokenizer.eos(), Some(1));
    assert_eq!(tokenizer.encode("a</s>a").unwrap(), [6, 2, 3, 4, 5, 6]);
    assert_eq!(tokenizer.encode("</s></s>").unwrap(), [2, 3, 4, 5, 2, 3, 4, 5]);
}
