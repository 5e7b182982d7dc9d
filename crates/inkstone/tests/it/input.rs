//! Texts that cannot be learnt from: file and line are named.

use crate::support::{Place, TINY};

/// A recipe with one stage of texts.
fn corpus(settings: &str) -> String {
    format!("name = \"tiny\"\n[corpus]\nkind = \"corpus\"\n{settings}\n")
}

/// A stage of texts over one file, which must fail with `parts`.
fn refused(file: &str, bytes: impl AsRef<[u8]>, settings: &str, parts: &[&str]) {
    let place = Place::with(&corpus(&format!("paths = [\"{file}\"]\n{settings}")));
    place.write(file, bytes);
    place.fails(&["run", "tiny.toml"], parts);
}

#[test]
fn a_missing_text() {
    Place::with(&corpus("paths = [\"no.txt\"]")).fails(&["run", "tiny.toml"], &["no.txt", "hint:"]);
}

#[test]
fn an_empty_text() {
    refused("a.txt", "", "", &["the corpus is empty", "hint:"]);
}

#[test]
fn a_text_in_another_encoding() {
    let latin: Vec<u8> = b"caf\xe9 na\xefve d\xe9j\xe0 vu\n".repeat(50);
    refused("a.txt", latin, "", &["a.txt:1", "not UTF-8", "hint:"]);
}

#[test]
fn a_text_in_utf_16() {
    let wide: Vec<u8> = "hello you\n".repeat(50).encode_utf16().flat_map(u16::to_le_bytes).collect();
    refused("a.txt", wide, "", &["a.txt", "UTF-16LE, not UTF-8", "hint:", "iconv"]);
}

#[test]
fn a_record_cut_in_the_middle() {
    let text = "{\"text\": \"one whole record\"}\n{\"text\": \"and one that is cu";
    refused("a.jsonl", text, "max_bad_records = 0", &["a.jsonl:2", "max_bad_records", "hint:"]);
}

#[test]
fn a_record_without_the_key() {
    let text = "{\"text\": \"one whole record\"}\n{\"body\": \"under another key\"}\n";
    refused("a.jsonl", text, "max_bad_records = 0", &["a.jsonl:2", "text", "hint:"]);
}

#[test]
fn a_vocabulary_that_the_corpus_cannot_give() {
    let recipe = TINY.replace("vocab_size = 400", "vocab_size = 200000");
    Place::with(&recipe).fails(&["run", "tiny.toml"], &["vocab_size", "200000", "hint:"]);
}

#[test]
fn a_context_longer_than_all_documents() {
    let settings = "paths = [\"a.txt\"]\nvalidation = 0.0\n[tokenizer]\nkind = \"tokenizer\"\nfrom = \"corpus\"\nalgorithm = \"byte\"\n";
    let pretrain = "[pretrain]\nkind = \"pretrain\"\ncorpus = \"corpus\"\ntokenizer = \"tokenizer\"\nsteps = 2\nbatch_size = 1\n\
        context = 4096\nmodel = { architecture = \"llama\", hidden_size = 32, num_hidden_layers = 1, num_attention_heads = 2 }\n\
        optimizer = { learning_rate = 1e-3 }\n";
    let place = Place::with(&corpus(&format!("{settings}{pretrain}")));
    place.write("a.txt", "A short text.\n");
    place.fails(&["run", "tiny.toml"], &["`context` is 4096", "hint:"]);
}

#[test]
fn conversations_without_an_answer() {
    let place = Place::with("name = \"tiny\"\n[chat]\nkind = \"chat\"\npaths = [\"c.jsonl\"]\n");
    place.write("c.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"hello?\"}]}\n");
    place.fails(&["run", "tiny.toml"], &["hint:"]);
}
