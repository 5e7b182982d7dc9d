//! Small networks of all generations from a recipe: made, verified, asked, compared; killed and resumed.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Place, TEXTS};

/// Behind [`TEXTS`].
const STAGES: &str = r#"
[counts]
kind = "ngram"
corpus = "corpus"
tokenizer = "tokenizer"
order = 3

[vectors]
kind = "word2vec"
corpus = "corpus"
tokenizer = "tokenizer"
size = 16
epochs = 2
checkpoint_every = 2000

[features]
kind = "feed_forward"
corpus = "corpus"
tokenizer = "tokenizer"
vectors = "vectors"
frozen = true
hidden = 16
epochs = 1

[bengio]
kind = "feed_forward"
corpus = "corpus"
tokenizer = "tokenizer"
embedding = 16
hidden = 16
direct = true
epochs = 1

[recurrent]
kind = "recurrent"
corpus = "corpus"
tokenizer = "tokenizer"
hidden = 16
layers = 1
epochs = 2
checkpoint_every = 5

[transformer]
kind = "pretrain"
corpus = "corpus"
tokenizer = "tokenizer"
model = { architecture = "llama", hidden_size = 32, num_hidden_layers = 1, num_attention_heads = 2 }
steps = 12
batch_size = 2
context = 64
optimizer = { learning_rate = 3e-3 }
schedule = { kind = "constant", warmup = 2 }

[model]
kind = "compare"
corpus = "corpus"
tokenizer = "tokenizer"
models = ["counts", "features", "bengio", "recurrent", "transformer"]
mixtures = [["counts", "recurrent"], ["counts", "features", "bengio", "recurrent", "transformer"]]
"#;

fn number(value: &Value) -> f64 {
    value["figures"]["bits_per_byte"].as_f64().unwrap()
}

#[test]
fn all_generations_are_made_verified_asked_and_compared() {
    let place = Place::with(&[TEXTS, STAGES].concat());
    place.ok(&["run", "tiny.toml"]);
    for stage in ["tiny/vectors", "tiny/features", "tiny/recurrent", "tiny/model"] {
        place.ok(&["verify", stage]);
    }
    let comparison = std::fs::read(place.artifact("model").join("comparison.json")).unwrap();
    let comparison: Value = serde_json::from_slice(&comparison).unwrap();
    let (models, mixtures) = (comparison["models"].as_array().unwrap(), comparison["mixtures"].as_array().unwrap());
    assert_eq!((models.len(), mixtures.len()), (5, 2));
    for row in models.iter().chain(mixtures) {
        let figures = &row["figures"];
        assert!(figures["bits_per_byte_low"].as_f64() < figures["bits_per_byte"].as_f64());
        assert_eq!(figures["tokens"], models[0]["figures"]["tokens"]);
    }
    // Weights tuned on documents of the same kind: a mixture of all can hardly be worse than its best part.
    let best = models.iter().map(number).fold(f64::INFINITY, f64::min);
    assert!(number(&mixtures[1]) < 1.1 * best, "{comparison}");
    let report = std::fs::read_to_string(place.path("runs/tiny/report.html")).unwrap();
    for part in ["models side by side", "the space of its vectors", "<rect class=\"dot1\"", " counts + "] {
        assert!(report.contains(part), "no {part} in the report");
    }
    ask(&place);
}

/// The verbs that open a network's folder.
fn ask(place: &Place) {
    place.write("text.txt", "The baker lives at the mill.\n");
    for stage in ["tiny/bengio", "tiny/features", "tiny/recurrent"] {
        let loss = place.json(&["eval", stage, "--text", "text.txt", "--json"])["loss"].as_f64().unwrap();
        let moving = place.json(&["eval", stage, "--text", "text.txt", "--dynamic", "0.5", "--json"]);
        assert!(loss > 0.0 && moving["loss"].as_f64().is_some(), "{moving}");
        let args = ["generate", "-m", stage, "--prompt", "The ", "--max-new-tokens", "9", "--seed", "3", "--json"];
        assert_eq!(place.json(&args)["ids"], place.json(&args)["ids"]);
    }
    place.fails(&["eval", "tiny/bengio", "--text", "text.txt", "--context", "5"], &["--context", "hint"]);
}

#[test]
fn wrong_settings_are_refused_before_anything_runs() {
    for (set, part) in [
        ("features.embedding=16", "vectors"),
        ("bengio.frozen=true", "vectors"),
        ("bengio.context=0", "context"),
        ("bengio.dropout=1.0", "dropout"),
        ("recurrent.layers=0", "layers"),
        ("model.models=[]", "models"),
        ("model.mixtures=[[\"world\"]]", "mixtures"),
    ] {
        Place::with(&[TEXTS, STAGES].concat()).fails(&["run", "tiny.toml", "--set", set], &[part]);
    }
}

#[test]
fn models_of_different_tokenizers_are_not_compared() {
    let other = "[other]\nkind = \"tokenizer\"\nfrom = \"corpus\"\nvocab_size = 390\n\n[counts]";
    let recipe = [TEXTS, STAGES].concat().replace("[counts]", other).replace(
        "[counts]\nkind = \"ngram\"\ncorpus = \"corpus\"\ntokenizer = \"tokenizer\"",
        "[counts]\nkind = \"ngram\"\ncorpus = \"corpus\"\ntokenizer = \"other\"",
    );
    Place::with(&recipe).fails(&["run", "tiny.toml"], &["counts", "another tokenizer", "hint"]);
}

/// Kills a run once a checkpoint says `part`, which only that of the stage in question does.
fn killed_when(place: &Place, part: &str) {
    let mut child = place.command(&["run", "tiny.toml"]).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    let says = |path: &std::path::PathBuf| std::fs::read_to_string(path).is_ok_and(|text| text.contains(part));
    let checkpoints = || crate::support::files(&place.path("runs/.store/partial"), "checkpoint/state.json");
    while !checkpoints().iter().any(says) {
        assert!(begun.elapsed() < Duration::from_mins(2), "no checkpoint with {part}");
        assert!(child.try_wait().unwrap().is_none(), "it was over before it could be killed");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn killed_and_resumed_gives_the_same_vectors_and_weights() {
    let recipe = [TEXTS, STAGES].concat().replace("epochs = 2", "epochs = 20");
    let (whole, place) = (Place::with(&recipe), Place::with(&recipe));
    whole.ok(&["run", "tiny.toml"]);
    killed_when(&place, "\"state\":2");
    killed_when(&place, "carried");
    place.ok(&["run", "tiny.toml"]);
    for stage in ["vectors", "recurrent"] {
        assert_eq!(place.id(stage), whole.id(stage), "{stage}");
    }
}
