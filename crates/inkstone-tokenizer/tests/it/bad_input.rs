//! Damaged and foreign files: an error that names the file, and no panic.

use std::path::Path;

use inkstone_tokenizer::{Algorithm, Tokenizer, TokenizerError};

use crate::support::{ALL, trained};

fn saved(algorithm: Algorithm) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    trained(algorithm).save(folder.path()).unwrap();
    folder
}

fn refused(folder: &Path, name: &str) -> TokenizerError {
    let error = Tokenizer::load(folder).unwrap_err();
    let path = folder.join(name).display().to_string();
    assert!(error.to_string().starts_with(&path), "{error}");
    assert!(error.hint().is_some() || matches!(error, TokenizerError::Template { .. }), "{error}");
    error
}

#[test]
fn a_missing_folder_or_file() {
    let folder = tempfile::tempdir().unwrap();
    let error = refused(folder.path(), "tokenizer.json");
    assert!(matches!(error, TokenizerError::NotFound { .. }));
    refused(&folder.path().join("nowhere"), "tokenizer.json");
}

#[test]
fn truncated_files() {
    for algorithm in ALL {
        let folder = saved(algorithm);
        for name in ["tokenizer_config.json", "tokenizer.json"] {
            let path = folder.path().join(name);
            let whole = std::fs::read(&path).unwrap();
            for length in [0, 1, whole.len() / 3, whole.len() - 2] {
                std::fs::write(&path, &whole[..length]).unwrap();
                let error = refused(folder.path(), name);
                assert!(matches!(error, TokenizerError::Malformed { line: Some(_), .. }), "{error}");
            }
            std::fs::write(&path, &whole).unwrap();
        }
    }
}

#[test]
fn other_json_and_other_files() {
    let folder = saved(Algorithm::Bpe);
    for json in ["{}", "[]", "null", r#"{"model": {"type": "BPE"}}"#, r#"{"version": "9.9"}"#] {
        std::fs::write(folder.path().join("tokenizer.json"), json).unwrap();
        refused(folder.path(), "tokenizer.json");
    }
    let folder = saved(Algorithm::Bpe);
    std::fs::write(folder.path().join("tokenizer_config.json"), "[]").unwrap();
    refused(folder.path(), "tokenizer_config.json");
    for entry in ["\"x\"", "{}", "{\"content\": 3}"] {
        let json = format!(r#"{{"added_tokens_decoder": {{"1": {entry}}}}}"#);
        std::fs::write(folder.path().join("tokenizer_config.json"), json.replace("\"x\"", "3")).unwrap();
        refused(folder.path(), "tokenizer_config.json");
    }
    let json = r#"{"added_tokens_decoder": {"7": {"content": "<new>"}}}"#;
    std::fs::write(folder.path().join("tokenizer_config.json"), json).unwrap();
    refused(folder.path(), "tokenizer_config.json");
    std::fs::write(folder.path().join("tokenizer_config.json"), "{}").unwrap();
    std::fs::write(folder.path().join("chat_template.jinja"), [0xFF, 0xFE]).unwrap();
    refused(folder.path(), "chat_template.jinja");
    std::fs::write(folder.path().join("chat_template.jinja"), "{% if %}").unwrap();
    refused(folder.path(), "chat_template.jinja");
}

/// Flips bits all over the file. What still parses must encode and decode without a panic.
#[test]
fn flipped_bits() {
    for algorithm in ALL {
        let folder = saved(algorithm);
        let path = folder.path().join("tokenizer.json");
        let whole = std::fs::read(&path).unwrap();
        let mut refusals = 0;
        for round in 0..300_usize {
            let mut bytes = whole.clone();
            let at = round.wrapping_mul(2_654_435_761) % bytes.len();
            bytes[at] ^= 1 << (round % 8);
            std::fs::write(&path, &bytes).unwrap();
            match Tokenizer::load(folder.path()) {
                Err(error) => {
                    assert!(error.to_string().contains("tokenizer"), "{error}");
                    refusals += 1;
                }
                Ok(tokenizer) => {
                    let ids = tokenizer.encode("Anna 修好了 a lantern 🎉<|pad|>");
                    let _ = ids.and_then(|ids| tokenizer.decode(&ids));
                }
            }
        }
        assert!(refusals > 20, "{algorithm:?}: {refusals}");
    }
}

#[test]
fn an_id_beyond_all_sense() {
    let folder = saved(Algorithm::Byte);
    let path = folder.path().join("tokenizer.json");
    let json = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, json.replacen(": 65,", ": 4000000000,", 1)).unwrap();
    refused(folder.path(), "tokenizer.json");
}

#[test]
fn a_file_that_is_too_large() {
    let folder = saved(Algorithm::Byte);
    let file = std::fs::File::create(folder.path().join("chat_template.jinja")).unwrap();
    file.set_len((4 << 20) + 1).unwrap();
    let error = refused(folder.path(), "chat_template.jinja");
    assert!(matches!(error, TokenizerError::TooLarge { .. }), "{error}");
}

#[test]
fn a_folder_that_can_not_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(trained(Algorithm::Byte).save(&file).is_err());
}
