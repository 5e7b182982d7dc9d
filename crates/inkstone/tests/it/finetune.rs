//! Every task is learnt from a few examples, with the architectures that have a head for it.

use std::fmt::Write;

use crate::support::{Place, TINY};

const BERT: &str = "{ architecture = \"bert\", hidden_size = 32, num_hidden_layers = 1, num_attention_heads = 2 }";
const T5: &str = "{ architecture = \"t5\", d_model = 32, num_layers = 1, num_heads = 2 }";
const LLAMA: &str = "{ architecture = \"llama\", hidden_size = 32, num_hidden_layers = 1, num_attention_heads = 2 }";
const CPM_BEE: &str = "{ architecture = \"cpmbee\", hidden_size = 32, num_hidden_layers = 1, num_attention_heads = 2 }";
const GPT: &str = "{ architecture = \"openai-gpt\", n_embd = 32, n_layer = 1, n_head = 2 }";

/// A model from nothing that learns `task` from `examples.jsonl`.
fn recipe(model: &str, task: &str, examples: &str) -> String {
    let before = &TINY[..TINY.find("[pretrain]").unwrap()];
    format!(
        r#"{before}
[examples]
kind = "examples"
paths = ["examples.jsonl"]
validation = 0.2
{examples}

[model]
kind = "finetune"
model = {model}
tokenizer = "tokenizer"
examples = "examples"
task = {task}
epochs = 12
batch_size = 8
context = 48
optimizer = {{ learning_rate = 1e-2 }}
schedule = {{ kind = "constant", warmup = 2 }}
"#
    )
}

/// Lines of JSON, by number.
fn lines(line: impl Fn(usize) -> String) -> String {
    (0..120).fold(String::new(), |mut text, n| {
        writeln!(text, "{}", line(n)).unwrap();
        text
    })
}

/// Runs the recipe; a metric of its model.
fn metric(place: &Place, name: &str) -> f64 {
    place.ok(&["run", "tiny.toml"]);
    let manifest = std::fs::read(place.artifact("model").join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    manifest["metrics"][name].as_f64().unwrap_or_else(|| panic!("no {name}: {manifest}"))
}

#[test]
fn labels_of_texts_are_learnt_by_encoders_and_decoders() {
    let place = Place::with("");
    let words = ["red", "blue"];
    place.write(
        "examples.jsonl",
        lines(|n| format!(r#"{{"text": "house {n} has a {} door", "answer": "{}"}}"#, words[n % 2], n % 2)),
    );
    for model in [BERT, LLAMA] {
        place.write("tiny.toml", recipe(model, "{ kind = \"classification\" }", ""));
        assert!(metric(&place, "accuracy") > 0.9, "{model}");
    }
    let info = place.json(&["info", "tiny/model", "--json"]);
    assert_eq!(info["model_type"], "llama");
}

#[test]
fn numbers_choices_tags_places_and_vectors_are_learnt_by_encoders() {
    let place = Place::with("");
    let run = |task: &str, fields: &str, name: &str, line: &dyn Fn(usize) -> String| {
        place.write("examples.jsonl", lines(line));
        place.write("tiny.toml", recipe(BERT, task, fields));
        metric(&place, name)
    };
    let far = run("{ kind = \"regression\" }", "", "square_error", &|n| {
        format!(r#"{{"text": "{} {n}", "answer": {}}}"#, ["cold", "hot"][n % 2], (n % 2) * 2)
    });
    assert!(far < 0.5, "{far}");
    let choices = "fields = { choices = [\"choices\"] }";
    let right = run("{ kind = \"multiple-choice\" }", choices, "accuracy", &|n| {
        format!(
            r#"{{"text": "number {n}", "choices": {}, "answer": "gold"}}"#,
            [r#"["gold", "tin"]"#, r#"["tin", "gold"]"#][n % 2]
        )
    });
    assert!(right > 0.9, "{right}");
    let tags = run("{ kind = \"tagging\" }", "", "accuracy", &|n| {
        format!(r#"{{"text": "the {} {n}", "answer": ["W", "{}", "N"]}}"#, ["cat", "oak"][n % 2], ["A", "T"][n % 2])
    });
    assert!(tags > 0.9, "{tags}");
    let pair = "fields = { pair = \"context\" }";
    let ends = run("{ kind = \"extraction\" }", pair, "accuracy", &|n| {
        let text = [format!("a silver key {n}"), format!("{n} a silver key")];
        format!(r#"{{"text": "what?", "context": "{}", "answer": "silver"}}"#, text[n % 2])
    });
    assert!(ends > 0.5, "{ends}");
    let near = run("{ kind = \"embedding\" }", pair, "accuracy", &|n| {
        format!(r#"{{"text": "town {n}", "context": "village {n}", "answer": ""}}"#)
    });
    assert!(near > 0.2, "{near}");
}

#[test]
fn decoders_judge_pairs_and_choices_beside_saying_the_texts() {
    let place = Place::with("");
    let words = ["red", "blue"];
    let pair =
        |n: usize| format!(r#"{{"text": "door {n}", "other": "it is {}", "answer": "{}"}}"#, words[n % 2], n % 2);
    place.write("examples.jsonl", lines(pair));
    let both = "{ kind = \"classification\", both_orders = true }\nauxiliary = 0.5";
    place.write("tiny.toml", recipe(GPT, both, "fields = { pair = \"other\" }"));
    assert!(metric(&place, "accuracy") > 0.9);
    place.write("tiny.toml", recipe(BERT, both, "fields = { pair = \"other\" }"));
    place.fails(&["run", "tiny.toml"], &["`auxiliary`", "tie_word_embeddings"]);

    let lists = [r#"["gold", "tin"]"#, r#"["tin", "gold"]"#];
    let choice = |n: usize| format!(r#"{{"text": "number {n}", "choices": {}, "answer": "gold"}}"#, lists[n % 2]);
    place.write("examples.jsonl", lines(choice));
    let task = "{ kind = \"multiple-choice\" }\nauxiliary = 0.5";
    place.write("tiny.toml", recipe(GPT, task, "fields = { choices = [\"choices\"] }"));
    assert!(metric(&place, "accuracy") > 0.9);
}

#[test]
fn dictionaries_are_filled() {
    let place = Place::with("");
    let (colours, states) = (["red", "blue"], ["open", "shut"]);
    let line = |n: usize| format!(r#"{{"text": "{} door {n}", "answer": "{}"}}"#, colours[n % 2], states[n % 2]);
    place.write("examples.jsonl", lines(line));
    let tokens = "[tokenizer]\nspecial_tokens = [\"<root>\", \"<ans>\"]";
    let made = recipe(CPM_BEE, "{ kind = \"dictionary\" }", "").replace("[tokenizer]", tokens);
    place.write("tiny.toml", &made);
    assert!(metric(&place, "loss") < 0.5);
    let asked = ["generate", "-m", "tiny/model", "--dictionary", r#"{"input": "blue door 7", "<ans>": ""}"#];
    assert_eq!(place.json(&asked)["<ans>"], "shut");
    place.fails(&[&asked[..4], &[r#"{"input": 1}"#]].concat(), &["a text or an object"]);
    place.write("tiny.toml", made.replace(CPM_BEE, LLAMA));
    place.fails(&["run", "tiny.toml"], &["reads no dictionaries", "cpmbee"]);
}

#[test]
fn any_task_is_text_to_text() {
    let place = Place::with("");
    place.write(
        "examples.jsonl",
        lines(|n| format!(r#"{{"text": "door {n}", "answer": "{}"}}"#, ["open", "shut"][n % 2])),
    );
    for model in [T5, LLAMA] {
        place.write("tiny.toml", recipe(model, "{ kind = \"text\", prefix = \"say: \" }", ""));
        assert!(metric(&place, "loss") < 2.0, "{model}");
    }
}

#[test]
fn a_task_that_a_model_has_no_head_for_is_refused() {
    let place = Place::with(&recipe(LLAMA, "{ kind = \"tagging\" }", ""));
    place.fails(&["run", "tiny.toml"], &["tiny.toml:", "no head for this `task`, expected an encoder"]);
    place.write("tiny.toml", recipe(BERT, "{ kind = \"text\" }", ""));
    place.fails(&["run", "tiny.toml"], &["expected an encoder-decoder or a decoder"]);
}
