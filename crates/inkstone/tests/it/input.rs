//! Texts that cannot be learnt from: file and line are named.

use crate::support::{Place, TINY, texts};

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
    refused("a.txt", latin, "", &["a.txt", "WINDOWS-1252, not UTF-8", "hint:", "iconv -f WINDOWS-1252"]);
}

#[test]
fn a_line_in_another_encoding() {
    let settings = "max_bad_records = 0";
    refused("a.txt", b"one\ncaf\xe9\n", settings, &["a.txt:2", "not UTF-8: byte 0xE9 at column 4", "hint:", "iconv"]);
}

#[test]
#[cfg(unix)]
#[expect(clippy::print_stderr, reason = "says that it tests nothing")]
fn a_text_that_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::with(&corpus("paths = [\"a.txt\"]"));
    place.write("a.txt", "A short text.\n");
    std::fs::set_permissions(place.path("a.txt"), std::fs::Permissions::from_mode(0o0)).unwrap();
    if std::fs::read(place.path("a.txt")).is_ok() {
        eprintln!("skipped: this user may read everything");
        return;
    }
    place.fails(&["run", "tiny.toml"], &["a.txt", "ermission", "hint:"]);
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
    place.fails(&["run", "tiny.toml"], &["c.jsonl:1", "assistant", "nothing of the corpus is left", "hint:"]);
}

#[test]
fn texts_that_a_model_cannot_be_judged_on() {
    let place = Place::trained();
    place.write("latin.txt", b"one\ncaf\xe9 au lait\n");
    place.write("empty.txt", "");
    let refused = |file: &str, parts: &[&str]| place.fails(&["eval", "tiny/model", "--text", file], parts);
    refused("no.txt", &["no.txt", "hint:"]);
    refused("runs", &["runs", "hint:", "not a folder"]);
    refused("latin.txt", &["latin.txt", "byte 0xE9 at line 2, column 4", "hint:", "iconv"]);
    refused("empty.txt", &["empty.txt", "no tokens", "hint:"]);
    place.fails(&["eval", "tiny/model", "--text", "latin.txt", "--context", "9999"], &["latin.txt"]);
}

/// `bytes` piped into a chat, which must fail with `parts`.
fn refused_in_chat(place: &Place, bytes: &[u8], parts: &[&str]) {
    let mut chat = assert_cmd::Command::from(place.command(&["chat", "-m", "tiny/model", "--max-new-tokens", "1"]));
    let output = chat.write_stdin(bytes).assert().code(2);
    let err = texts(output.get_output()).1;
    for part in parts {
        assert!(err.contains(part), "no {part:?} in:\n{err}");
    }
}

#[test]
fn lines_that_cannot_be_answered() {
    let place = Place::trained();
    let wrong = b"Who are you?\nWhere is the caf\xe9?\n";
    refused_in_chat(&place, wrong, &["standard input", "byte 0xE9 at line 2, column 17", "hint:", "iconv"]);
    let long = "word ".repeat(200);
    refused_in_chat(&place, long.as_bytes(), &["the model's context is 64", "hint:", "shorten"]);
}
