//! Tokenizers and chat templates.

use std::fs;

use inkstone_corpus::chat::{Message, Role};
use inkstone_tokenizer::{Algorithm, Tokenizer, TokenizerConfig, train};

use super::Target;

pub(crate) const TOKENIZER: Target = Target {
    name: "tokenizer",
    run: |data| with_file("tokenizer.json", data),
    seeds: || {
        [Algorithm::Bpe, Algorithm::Unigram, Algorithm::Wordpiece]
            .map(|algorithm| file_of("tokenizer.json", algorithm))
            .into()
    },
};

pub(crate) const TOKENIZER_CONFIG: Target = Target {
    name: "tokenizer_config",
    run: |data| with_file("tokenizer_config.json", data),
    seeds: || vec![file_of("tokenizer_config.json", Algorithm::Bpe)],
};

pub(crate) const CHAT_TEMPLATE: Target = Target {
    name: "chat_template",
    run: |data| with_file("chat_template.jinja", data),
    seeds: || vec![file_of("chat_template.jinja", Algorithm::Bpe)],
};

const TEXTS: [&str; 3] =
    ["the town of the baker, the baker of the town", "镇上的面包师，面包师在镇上", "<|im_start|> 😀 1984"];

fn good(algorithm: Algorithm) -> Tokenizer {
    let config = TokenizerConfig::new("corpus", algorithm, Some(300));
    let texts = (0..2000).map(|number| Ok(format!("{} {}", TEXTS[number % 3], word(number))));
    train(&config, Some(inkstone_tokenizer::CHATML), texts).expect("enough text")
}

/// One of two thousand words, so that there are pieces to find.
fn word(mut number: usize) -> String {
    let mut word = String::new();
    for _ in 0..4 {
        word.push_str(["ba", "ker", "to", "wn", "ri", "ver", "clo", "夜", "莺"][number % 9]);
        number = number / 9 + number % 7;
    }
    word
}

fn file_of(name: &str, algorithm: Algorithm) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    good(algorithm).save(folder.path()).expect("room for a small tokenizer");
    fs::read(folder.path().join(name)).expect("a file of the tokenizer")
}

/// A file of `fixtures/tokenizers`.
macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../fixtures/tokenizers/", $name)).to_vec()
    };
}

pub(crate) const SENTENCE_PIECE: Target = Target {
    name: "sentence_piece",
    run: |data| alone(&[("tokenizer.model", data)]),
    seeds: || vec![fixture!("unigram/tokenizer.model"), fixture!("bpe/tokenizer.model")],
};

pub(crate) const WORD_PIECE: Target = Target {
    name: "word_piece",
    run: |data| alone(&[("vocab.txt", data)]),
    seeds: || vec![fixture!("wordpiece/vocab.txt")],
};

pub(crate) const BYTE_PAIRS: Target = Target {
    name: "byte_pairs",
    run: |data| {
        alone(&[("merges.txt", data), ("vocab.json", include_bytes!("../../fixtures/tokenizers/gpt2/vocab.json"))]);
    },
    seeds: || vec![fixture!("gpt2/merges.txt")],
};

pub(crate) const BYTE_PAIR_IDS: Target = Target {
    name: "byte_pair_ids",
    run: |data| alone(&[("vocab.json", data), ("merges.txt", b"#version: 0.2\n")]),
    seeds: || vec![fixture!("gpt2/vocab.json")],
};

/// Opens a folder of these files alone, and uses it.
fn alone(files: &[(&str, &[u8])]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, data) in files {
        fs::write(folder.path().join(name), data).expect("room for a small file");
    }
    let Ok(tokenizer) = Tokenizer::load(folder.path()) else { return };
    for text in TEXTS {
        if let Ok(ids) = tokenizer.encode(text) {
            drop(tokenizer.decode(&ids));
        }
    }
}

/// Opens a good tokenizer in which one file is replaced, and uses all of it.
fn with_file(name: &str, data: &[u8]) {
    thread_local!(static GOOD: Tokenizer = good(Algorithm::Bpe));
    let folder = tempfile::tempdir().expect("a temporary folder");
    GOOD.with(|tokenizer| tokenizer.save(folder.path())).expect("room for a small tokenizer");
    fs::write(folder.path().join(name), data).expect("room for a small file");
    let Ok(tokenizer) = Tokenizer::load(folder.path()) else { return };
    for text in TEXTS {
        if let Ok(ids) = tokenizer.encode(text) {
            drop(tokenizer.decode(&ids));
            let mut decoder = tokenizer.decoder();
            for &id in &ids {
                drop(decoder.push(id));
            }
            drop(decoder.finish());
        }
    }
    let message = |role, content: &str| Message { role, content: content.to_owned() };
    let messages = [message(Role::User, TEXTS[2]), message(Role::Assistant, "答")];
    drop(tokenizer.render_chat(&messages, true));
    drop(tokenizer.encode_chat(&messages[..1], true));
    if let Ok((ids, mask)) = tokenizer.encode_training(&messages) {
        assert_eq!(ids.len(), mask.len());
    }
}
