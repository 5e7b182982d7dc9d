//! Every decoder is trained from a recipe, and speaks.

use serde_json::Value;

use crate::support::{Place, TINY};

const LLAMA: &str = "{ architecture = \"llama\", hidden_size = 32, num_hidden_layers = 1, num_attention_heads = 2 }";

/// The `model` tables of a recipe.
const TABLES: [&str; 9] = [
    "{ architecture = \"gpt2\", n_embd = 32, n_layer = 1, n_head = 2 }",
    "{ architecture = \"openai-gpt\", n_embd = 32, n_layer = 1, n_head = 2 }",
    "{ architecture = \"bloom\", hidden_size = 32, n_layer = 1, n_head = 2 }",
    "{ architecture = \"baichuan\", hidden_size = 32, num_hidden_layers = 1, num_attention_heads = 2 }",
    "{ architecture = \"glm\", hidden_size = 32, num_hidden_layers = 1, num_attention_heads = 2 }",
    "{ architecture = \"glm4\", hidden_size = 32, num_hidden_layers = 1, num_attention_heads = 2 }",
    "{ architecture = \"mistral\", hidden_size = 32, num_hidden_layers = 1, num_attention_heads = 2, sliding_window = 16 }",
    "{ architecture = \"cpmbee\", hidden_size = 32, num_hidden_layers = 1, num_attention_heads = 2 }",
    "{ architecture = \"qwen2\", hidden_size = 32, num_hidden_layers = 1, num_attention_heads = 2 }",
];

/// The tiny recipe up to its `pretrain` stage, with another model.
fn recipe(table: &str) -> String {
    assert!(TINY.contains(LLAMA));
    TINY[..TINY.find("[model]").unwrap()].replace(LLAMA, table)
}

#[test]
fn every_decoder_trains_from_a_recipe() {
    let place = Place::with(TINY);
    for table in TABLES {
        place.write("tiny.toml", recipe(table));
        place.ok(&["run", "tiny.toml"]);
        let name = table.split('"').nth(1).unwrap();
        let info = place.json(&["info", "tiny/pretrain", "--json"]);
        let expected = (&Value::from(name), &Value::from(400), &Value::from(64));
        assert_eq!((&info["model_type"], &info["vocab_size"], &info["context"]), expected);
        assert_eq!(info["dimensions"]["layers"], 1, "{name}");
        place.ok(&["generate", "-m", "tiny/pretrain", "--prompt", "The", "--max-new-tokens", "4"]);
    }
}

#[test]
fn a_model_that_cannot_be_is_refused_where_it_is_written() {
    let refused = |table: &str, parts: &[&str]| {
        Place::with(&recipe(table)).fails(&["run", "tiny.toml"], parts);
    };
    let line = TINY.lines().position(|line| line.contains(LLAMA)).unwrap() + 1;
    let place = format!("tiny.toml:{line}");
    refused(
        "{ architecture = \"gtp2\", n_embd = 32, n_layer = 1, n_head = 2 }",
        &[&place, "gtp2", "did you mean `gpt2`?"],
    );
    refused(
        "{ architecture = \"gpt2\", n_embd = 32, n_layers = 1, n_head = 2 }",
        &[&place, "n_layers", "did you mean `n_layer`?"],
    );
    refused(
        "{ architecture = \"gpt2\", n_embd = 32, n_layer = 1, n_head = 3 }",
        &[&place, "n_embd", "multiple of n_head = 3"],
    );
    refused("{ architecture = \"gpt2\", n_embd = 32, n_head = 2 }", &[&place, "n_layer"]);
    refused(
        "{ architecture = \"bloom\", hidden_size = 32, n_layer = 1, n_head = 2, seq_length = 8 }",
        &["context", "seq_length"],
    );
    let bert = "{ architecture = \"bert\", hidden_size = 32, num_hidden_layers = 1, num_attention_heads = 2 }";
    refused(bert, &[&place, "`model` does not predict the next token, expected the architecture of a decoder"]);
}
