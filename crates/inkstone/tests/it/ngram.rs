//! N-gram models from outside: the verbs, and the stage.

use serde_json::Value;

use crate::support::{Place, TEXTS};

/// Behind [`TEXTS`].
const STAGES: &str = r#"
[model]
kind = "ngram"
corpus = "corpus"
tokenizer = "tokenizer"
order = 4

[characters]
kind = "ngram"
corpus = "corpus"
unit = "characters"
smoothing = { stupid-backoff = 0.4 }
bits = 8
prune_entropy = 1e-7
"#;

fn text() -> String {
    let words = ["the", "old", "stone", "river", "sees", "砚台", "灯笼", "a", "baker", "."];
    let line = |i: usize| (0..4 + i % 7).map(|k| words[(i * k * 7 + i / 3 + k) % 10]).collect::<Vec<_>>().join(" ");
    (0..200).map(|i| line(i) + "\n").collect()
}

/// A place with a text and a model of it.
fn trained() -> Place {
    let place = Place::new();
    place.write("text.txt", text());
    place.ok(&["ngram", "train", "--order", "3", "--text", "text.txt", "--out", "text.arpa"]);
    place
}

#[test]
fn the_stage_trains_verifies_and_serves_eval_and_generate() {
    let place = Place::with(&[TEXTS, STAGES].concat());
    place.ok(&["run", "tiny.toml"]);
    for stage in ["tiny/model", "tiny/characters"] {
        let show = place.json(&["show", stage, "--json"]);
        assert!(show.to_string().contains("bits_per_byte"), "{show}");
        place.ok(&["verify", stage]);
        place.write("text.txt", "The baker lives at the mill.\n");
        let loss = place.json(&["eval", stage, "--text", "text.txt", "--json"]);
        for key in ["loss", "perplexity", "bits_per_byte", "tokens", "tokens_per_second", "seconds"] {
            assert!(loss[key].as_f64().is_some_and(|value| value > 0.0), "{key} in {loss}");
        }
        let args = ["generate", "-m", stage, "--prompt", "The ", "--max-new-tokens", "9", "--seed", "3", "--json"];
        let said = place.json(&args);
        assert!(said["text"].is_string() && said["tokens"].as_u64().unwrap() <= 9, "{said}");
        assert_eq!(place.json(&args)["text"], said["text"]);
    }
    place.fails(&["eval", "tiny/model", "--text", "text.txt", "--context", "5"], &["--context", "hint"]);
}

#[test]
fn wrong_stage_settings_are_refused_before_anything_runs() {
    for (set, part) in [
        ("model.unit=\"words\"", "tokenizer"),
        ("model.order=0", "order"),
        ("model.bits=30", "bits"),
        ("model.prune=[1]", "prune"),
        ("model.smoothing=\"kneser\"", "smoothing"),
        ("model.ordre=3", "order"),
    ] {
        Place::with(&[TEXTS, STAGES].concat()).fails(&["run", "tiny.toml", "--set", set], &[part]);
    }
}

#[test]
fn every_verb_answers_people_and_machines() {
    let place = trained();
    let loss = place.json(&["ngram", "eval", "-m", "text.arpa", "--text", "text.txt", "--json"]);
    assert!(loss["perplexity"].as_f64().unwrap() < 10.0 && loss["unknown"] == 0, "{loss}");
    let cached = place.json(&["ngram", "eval", "-m", "text.arpa", "--text", "text.txt", "--cache", "0.1", "--json"]);
    assert_ne!(cached["loss"], loss["loss"]);
    let explained = place.json(&["ngram", "explain", "-m", "text.arpa", "the old 墨", "--text", "text.txt", "--json"]);
    assert_eq!(explained.as_array().map(Vec::len), Some(4));
    assert_eq!((&explained[2]["unknown"], &explained[2]["order"]), (&Value::from(true), &Value::from(1)));
    assert!(explained[0]["path"][0]["counted"]["history_count"].as_u64().unwrap() > 0, "{explained}");
    assert!(place.ok(&["ngram", "explain", "-m", "text.arpa", "the old 墨"]).0.contains("back-off weight"));
    let said = place.ok(&["ngram", "generate", "-m", "text.arpa", "--prompt", "the", "--sentences", "3"]).0;
    assert!(said.lines().count() == 3 && said.lines().all(|line| line.starts_with("the")), "{said}");
    let args = ["ngram", "classes", "--text", "text.txt", "--classes", "4", "--out", "classes.tsv"];
    place.ok(&args);
    let held_out = place.json(&[&args[..], &["--held-out", "text.txt", "--json"]].concat());
    assert!(held_out["perplexity"].as_f64().unwrap() > 1.0, "{held_out}");
    assert_eq!(std::fs::read_to_string(place.path("classes.tsv")).unwrap().lines().count(), 10);
}

#[test]
fn files_of_every_form_give_the_same_perplexity() {
    let place = trained();
    let perplexity = |model: &str| {
        place.json(&["ngram", "eval", "-m", model, "--text", "text.txt", "--json"])["perplexity"].as_f64().unwrap()
    };
    let exact = perplexity("text.arpa");
    for (structure, bits) in [("trie", "32"), ("probing", "32"), ("trie", "12")] {
        let form = ["--structure", structure, "--bits", bits];
        place.ok(&[&["ngram", "build", "-m", "text.arpa", "--out", "built"], &form[..]].concat());
        assert!((perplexity("built") / exact - 1.0).abs() < 0.01, "{structure} {bits}");
        place.ok(&[&["ngram", "train", "--order", "3", "--text", "text.txt", "--out", "trained"], &form[..]].concat());
        let bytes = |name: &str| std::fs::read(place.path(name)).unwrap();
        assert_eq!(bytes("built").len(), bytes("trained").len());
    }
    place.ok(&["ngram", "build", "-m", "text.arpa", "--out", "pruned.arpa", "--prune-entropy", "1e-4"]);
    assert!(
        std::fs::metadata(place.path("pruned.arpa")).unwrap().len()
            < std::fs::metadata(place.path("text.arpa")).unwrap().len()
    );
}

#[test]
fn every_smoothing_trains_and_little_memory_gives_the_same_bytes() {
    let place = trained();
    for smoothing in ["modified-kneser-ney", "witten-bell", "absolute-discounting", "add-k", "katz", "stupid-backoff"] {
        let train = ["ngram", "train", "--text", "text.txt", "--smoothing", smoothing, "--out"];
        place.ok(&[&train[..], &["a.arpa"]].concat());
        place.ok(&[&train[..], &["b.arpa", "--memory", "1M", "--threads", "1"]].concat());
        let bytes = |name: &str| std::fs::read(place.path(name)).unwrap();
        assert!(bytes("a.arpa") == bytes("b.arpa"), "{smoothing}");
    }
}

#[test]
fn tiny_texts_are_learnt_with_a_warning() {
    let place = Place::new();
    place.write("text.txt", "one\n");
    let err = place.ok(&["ngram", "train", "--text", "text.txt", "--out", "one.arpa"]).1;
    assert!(err.contains("warning") && err.contains("discounts"), "{err}");
    place.ok(&["ngram", "eval", "-m", "one.arpa", "--text", "text.txt"]);
}

#[test]
fn bad_input_is_named() {
    let place = trained();
    place.write("broken.arpa", "\\data\\\nngram 1=x\n");
    place.write("bytes.txt", b"a\n\xff\n");
    place.write("empty.txt", "");
    place.fails(&["ngram", "eval", "-m", "broken.arpa", "--text", "text.txt"], &["broken.arpa:2", "ngram 1=COUNT"]);
    place.fails(&["ngram", "eval", "-m", "none.arpa", "--text", "text.txt"], &["none.arpa"]);
    place.fails(&["ngram", "eval", "-m", "text.arpa", "--text", "empty.txt"], &["empty.txt"]);
    place.fails(&["ngram", "train", "--text", "bytes.txt", "--out", "x.arpa"], &["bytes.txt:2", "UTF-8"]);
    place.fails(&["ngram", "train", "--text", "empty.txt", "--out", "x.arpa"], &["empty.txt", "sentences"]);
    place.fails(&["ngram", "train", "--text", "text.txt", "--order", "0", "--out", "x.arpa"], &["order"]);
    place.fails(&["ngram", "train", "--text", "text.txt", "--k", "1", "--out", "x.arpa"], &["--k", "hint"]);
    place.fails(&["ngram", "train", "--text", "text.txt", "--unit", "tokens", "--out", "x.arpa"], &["tokenizer"]);
    place.fails(&["ngram", "train", "--text", "text.txt", "--out", "no/such/folder/x.arpa"], &["no/such/folder"]);
    assert!(!place.path("x.arpa").exists());
}
