//! Every objective of pre-training, from a recipe, with the architectures that take it.

use crate::kill::interrupted;
use crate::support::{Place, TINY};

const LLAMA: &str = "{ architecture = \"llama\", hidden_size = 32, num_hidden_layers = 1, num_attention_heads = 2 }";
const BERT: &str = "{ architecture = \"bert\", hidden_size = 32, num_hidden_layers = 1, num_attention_heads = 2 }";
const T5: &str = "{ architecture = \"t5\", d_model = 32, num_layers = 1, num_heads = 2 }";

const GLM: &str = "{ architecture = \"glm_2021\", hidden_size = 32, num_layers = 1, num_attention_heads = 2 }";

/// The tiny recipe up to its `pretrain` stage, with another model and objective.
fn recipe(model: &str, objective: &str) -> String {
    TINY[..TINY.find("[model]").unwrap()]
        .replace(LLAMA, &format!("{model}\nobjective = {objective}"))
        .replace("vocab_size = 400", "vocab_size = 420\nspecial_tokens = [\"[MASK]\"]\nsentinels = 16")
}

#[test]
fn every_objective_trains_the_architectures_that_take_it() {
    let masked = "{ kind = \"masked\", whole_words = true, ngram = 3, sentences = \"next\" }";
    let ordered = "{ kind = \"masked\", sentences = \"order\" }";
    let albert = "{ architecture = \"albert\", hidden_size = 32, num_hidden_layers = 2, num_attention_heads = 2, embedding_size = 16 }";
    let spans = "{ kind = \"span-corruption\", rate = 0.3, mean = 4 }";
    let mixture = "{ kind = \"mixture\" }";
    let both = "{ kind = \"infilling\", blanks = \"both\" }";
    let place = Place::with("");
    for (model, objective) in [
        (BERT, masked),
        (albert, ordered),
        (T5, spans),
        (T5, "{ kind = \"prefix\" }"),
        (T5, mixture),
        (LLAMA, spans),
        (LLAMA, mixture),
        (LLAMA, both),
        (GLM, both),
    ] {
        place.write("tiny.toml", recipe(model, objective));
        place.ok(&["run", "tiny.toml"]);
        let manifest = std::fs::read_to_string(place.artifact("pretrain").join("manifest.json")).unwrap();
        assert!(manifest.contains("\"commonest_accuracy\""), "{objective}: {manifest}");
        assert_eq!(manifest.contains("\"sentence_accuracy\""), objective.contains("sentences"), "{objective}");
    }
    place.ok(&["generate", "-m", "tiny/pretrain", "--prompt", "The", "--max-new-tokens", "4"]);
}

#[test]
fn killed_and_resumed_gives_the_same_encoder_and_encoder_decoder() {
    for (model, objective) in [
        (BERT, "{ kind = \"masked\", whole_words = true, sentences = \"next\" }"),
        (T5, "{ kind = \"span-corruption\" }"),
    ] {
        let recipe = recipe(model, objective).replace("steps = 12", "steps = 120");
        let place = interrupted(&recipe);
        place.ok(&["run", "tiny.toml"]);
        let whole = Place::with(&recipe);
        whole.ok(&["run", "tiny.toml"]);
        assert_eq!(place.id("pretrain"), whole.id("pretrain"), "{objective}");
    }
}

#[test]
fn an_objective_that_does_not_fit_is_refused_where_it_is_written() {
    let refused = |model: &str, objective: &str, parts: &[&str]| {
        Place::with(&recipe(model, objective)).fails(&["run", "tiny.toml"], parts);
    };
    refused(LLAMA, "{ kind = \"masked\" }", &["tiny.toml:", "does not restore masked tokens"]);
    refused(BERT, "{ kind = \"prefix\" }", &["tiny.toml:", "an encoder-decoder or a decoder"]);
    refused(T5, "{ kind = \"span-corruption\", rate = 1.5 }", &["objective.rate", "1.5"]);
    refused(T5, "{ kind = \"span-corruptoin\" }", &["span-corruptoin", "did you mean `span-corruption`?"]);
    let without = recipe(BERT, "{ kind = \"masked\" }").replace("special_tokens = [\"[MASK]\"]\n", "");
    Place::with(&without).fails(&["run", "tiny.toml"], &["no token `[MASK]`", "hint:", "special_tokens"]);
}
