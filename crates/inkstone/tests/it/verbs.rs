//! Every verb on the results of the tiny recipe.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Place, TINY};

#[test]
fn a_benchmark_of_nothing_is_refused() {
    let place = Place::new();
    place.fails(&["bench", "train", "--batch", "0"], &["--batch", "1..=65535"]);
    place.fails(&["bench", "train", "--architecture", "gpt2", "--heads", "7"], &["a multiple of n_head = 7"]);
}

#[test]
fn a_second_run_is_answered_from_the_cache() {
    let place = Place::trained();
    let before = place.json(&["ls", "--json"]);
    let err = place.ok(&["run", "tiny.toml"]).1;
    let count = before.as_array().unwrap().len();
    assert!(count >= 8, "{before}");
    let stages: Vec<&str> = err.lines().filter(|line| line.starts_with('[')).collect();
    assert!(!stages.is_empty() && stages.iter().all(|line| line.ends_with("cached")), "{err}");
    assert_eq!(place.json(&["ls", "--json"]), before);
    let plan = place.json(&["plan", "tiny.toml", "--json"]);
    let planned = plan["plan"]["stages"].as_array().unwrap();
    assert!(planned.iter().all(|stage| stage["cached"] == true), "{plan}");
}

#[test]
fn a_plan_knows_the_size_of_texts_beside_the_recipe() {
    let place = Place::new();
    std::fs::create_dir(place.path("deep")).unwrap();
    place.write("deep/texts.txt", "The baker lives at the mill.\n".repeat(20));
    place.write("deep/a.toml", "name = \"a\"\n[corpus]\nkind = \"corpus\"\npaths = [\"texts.txt\"]\n");
    let plan = place.json(&["plan", "deep/a.toml", "--json"]);
    assert_eq!(plan["plan"]["stages"][0]["estimate"]["metrics"]["bytes"], 580.0, "{plan}");
}

#[test]
fn verbs_about_artifacts_answer() {
    let place = Place::trained();
    let info = place.json(&["info", "tiny/model", "--json"]);
    assert_eq!((&info["vocab_size"], &info["model_type"]), (&Value::from(400), &Value::from("llama")));
    assert!(place.ok(&["info", "runs/tiny/model"]).0.contains("LlamaForCausalLM"));
    assert!(place.json(&["show", "tiny/model", "--json"]).to_string().contains("pretrain"));
    assert!(place.json(&["doctor", "--json"])["numeric_path"].is_string());
    let gone = place.json(&["gc", "--dry-run", "--json"]);
    assert_eq!(gone["removed"], Value::Array(vec![]));
    place.ok(&["verify", "tiny/model"]);
}

#[test]
fn diff_tells_by_its_exit_code() {
    let place = Place::trained();
    place.ok(&["diff", "tiny/model", "tiny/model"]);
    let output = place.output(&["diff", "tiny/pretrain", "tiny/model"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stdout.is_empty());
}

#[test]
fn gc_dry_run_names_what_nothing_needs() {
    let place = Place::trained();
    place.ok(&["run", "tiny.toml", "--set", "model.steps=4"]);
    let before = place.json(&["ls", "--json"]);
    let gone = place.json(&["gc", "--dry-run", "--json"]);
    assert!(!gone["removed"].as_array().unwrap().is_empty(), "{gone}");
    assert_eq!(place.json(&["ls", "--json"]), before);
}

#[test]
fn a_model_reads_and_writes() {
    let place = Place::trained();
    place.write("text.txt", "The baker lives at the mill.\n".repeat(20));
    let loss = place.json(&["eval", "tiny/model", "--text", "text.txt", "--json"]);
    for key in ["loss", "perplexity", "bits_per_byte", "tokens"] {
        assert!(loss[key].as_f64().is_some_and(|value| value > 0.0), "{key} in {loss}");
    }
    let args = ["generate", "-m", "tiny/model", "--prompt", "It is", "--max-new-tokens", "5", "--json"];
    let said = place.json(&args);
    assert!(said["tokens"].as_u64().unwrap() <= 5 && said["text"].is_string(), "{said}");
    assert_eq!(place.json(&args)["ids"], said["ids"]);
}

#[test]
fn chat_answers_a_prompt_and_piped_lines() {
    let place = Place::trained();
    let one = ["chat", "-m", "tiny/model", "--max-new-tokens", "4", "--temperature", "0"];
    let prompt = [&one[..], &["--prompt", "Who are you?"]].concat();
    assert!(place.ok(&prompt).0.ends_with('\n'));
    let mut child = place.command(&one).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"Who are you?\nWhere is the mill?\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    // An answer of an untrained model may hold line breaks of its own.
    assert!(output.stdout.split(|&byte| byte == b'\n').count() > 2);
}

#[test]
fn the_number_of_threads_does_not_change_a_byte() {
    let ids = ["1", "2"].map(|threads| {
        let place = Place::with(TINY);
        let status = place.command(&["run", "tiny.toml", "-q"]).env("RAYON_NUM_THREADS", threads).status();
        assert!(status.unwrap().success());
        place.id("model")
    });
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn a_model_becomes_a_file_of_blocks_and_a_folder_again() {
    let place = Place::trained();
    place.write("text.txt", "The baker lives at the mill. The smith lives by the river.\n".repeat(40));
    let arguments = ["quantize", "tiny/model", "--to", "q8_0", "-o", "q8.gguf", "--text", "text.txt", "--json"];
    let table = place.json(&arguments);
    assert!(table.to_string().contains("perplexity"), "{table}");
    let say = |model: &str| {
        place
            .ok(&["generate", "-m", model, "--temperature", "0", "--max-new-tokens", "8", "--json", "--prompt", "The"])
            .0
    };
    assert!(say("q8.gguf").contains("\"ids\""));
    place.ok(&["convert", "tiny/model", "--to", "f32", "-o", "exact.gguf"]);
    place.ok(&["convert", "exact.gguf", "-o", "again"]);
    let ids = |text: String| serde_json::from_str::<Value>(&text).unwrap()["ids"].clone();
    assert_eq!(ids(say("again")), ids(say("tiny/model")));
    place.ok(&["convert", "tiny/model", "-o", "once"]);
    let made = place.json(&["convert", "once", "-o", "twice", "--json"]);
    assert!(made["load_seconds"].is_number() && ids(say("twice")) == ids(say("tiny/model")), "{made}");
    let weights = |folder: &str| std::fs::read(place.path(folder).join("model.safetensors")).unwrap();
    assert!(weights("once") == weights("twice"));
    let bench =
        ["bench", "decode", "-m", "q8.gguf", "--draft", "lookup", "--text", "text.txt", "--tokens", "16", "--json"];
    let report = place.json(&bench);
    assert_eq!(report["identical"], true, "{report}");
    place.fails(&["quantize", "tiny/model", "--to", "q3_k"], &["q3_k", "q4_k"]);
    place.fails(&["quantize", "tiny/model", "--method", "gptq", "-o", "x.gguf"], &["--calibrate"]);
    place.fails(&["convert", "text.txt", "-o", "y"], &["text.txt"]);
    assert!(!place.path("x.gguf").exists(), "something half-made was left");
}
