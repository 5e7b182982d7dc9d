//! Artifacts that changed behind the program's back.

use crate::support::{Place, files, flip, truncate};

#[test]
fn truncated_weights_are_named() {
    let place = Place::trained();
    let model = place.artifact("model");
    truncate(&model.join("model.safetensors"));
    place.fails(&["generate", "-m", "tiny/model", "--prompt", "a"], &["model.safetensors"]);
}

#[test]
fn a_truncated_tokenizer_is_named() {
    let place = Place::trained();
    truncate(&place.artifact("model").join("tokenizer.json"));
    place.fails(&["generate", "-m", "tiny/model", "--prompt", "a"], &["tokenizer.json", "hint:"]);
}

#[test]
fn truncated_artifacts_are_made_anew() {
    let place = Place::trained();
    let before = place.id("model");
    truncate(&place.artifact("model").join("model.safetensors"));
    place.ok(&["run", "tiny.toml"]);
    assert_eq!(place.id("model"), before);
    place.ok(&["generate", "-m", "tiny/model", "--prompt", "a", "--max-new-tokens", "1"]);
}

#[test]
fn a_flipped_bit_in_a_shard_is_found_before_it_is_learnt() {
    let place = Place::trained();
    let (before, tokens) = (place.id("pretrain"), place.artifact("pretrain.tokens"));
    let mut all = files(&tokens, "");
    all.retain(|path| !path.ends_with("manifest.json"));
    let largest = all.into_iter().max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap();
    flip(&largest);
    let err = place.ok(&["run", "tiny.toml", "--from", "pretrain"]).1;
    assert!(err.contains("is damaged") && err.contains("is made anew"), "{err}");
    assert!(err.contains(largest.file_name().unwrap().to_str().unwrap()), "{err}");
    assert_eq!(place.id("pretrain"), before);
}

#[test]
fn an_artifact_of_a_newer_program() {
    let place = Place::trained();
    let manifest = place.artifact("model").join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replacen("\"format\": 1", "\"format\": 99", 1)).unwrap();
    place.fails(&["show", "tiny/model"], &["newer version", "99", "hint:"]);
    place.fails(&["run", "tiny.toml"], &["newer version", "hint:"]);
}
