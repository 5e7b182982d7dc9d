//! Recipes that cannot be run: the place is named, and the way out.

use crate::support::{Place, TINY};

/// Runs the tiny recipe with `old` replaced, which must fail with `parts`.
fn refused(old: &str, new: &str, parts: &[&str]) {
    assert!(TINY.contains(old));
    Place::with(&TINY.replacen(old, new, 1)).fails(&["run", "tiny.toml"], parts);
}

/// `tiny.toml:LINE` of the first line that has `text`.
fn line_of(text: &str) -> String {
    format!("tiny.toml:{}", TINY.lines().position(|line| line.contains(text)).unwrap() + 1)
}

#[test]
fn a_missing_recipe() {
    Place::new().fails(&["run", "nowhere.toml"], &["nowhere.toml", "hint:"]);
}

#[test]
fn an_unknown_key() {
    let place = line_of("batch_size");
    refused("batch_size", "batch_sise", &[&place, "batch_sise", "did you mean `batch_size`?"]);
}

#[test]
fn a_wrong_type() {
    refused("steps = 12", "steps = \"many\"", &[&line_of("steps = 12"), "steps"]);
}

#[test]
fn an_unknown_kind() {
    let place = line_of("kind = \"pretrain\"");
    refused("kind = \"pretrain\"", "kind = \"pretrian\"", &[&place, "pretrian", "did you mean `pretrain`?"]);
}

#[test]
fn a_missing_stage() {
    let place = line_of("base = \"pretrain\"");
    refused("base = \"pretrain\"", "base = \"pretrained\"", &[&place, "`pretrained`", "did you mean `pretrain`?"]);
}

#[test]
fn stages_in_a_circle() {
    let again = "[again]\nkind = \"sft\"\nbase = \"model\"\nchat = \"chat\"\nsteps = 2\nbatch_size = 2\ncontext = 64\n\
        optimizer = { learning_rate = 1e-3 }\n";
    let recipe = format!("{}{again}", TINY.replace("base = \"pretrain\"", "base = \"again\""));
    Place::with(&recipe).fails(&["run", "tiny.toml"], &["tiny.toml:", "go round in a circle", "again → "]);
}

#[test]
fn questions_that_the_model_will_not_be_able_to_read_are_found_before_it_is_trained() {
    let place = Place::with(&TINY.replace("context = 64", "context = 16"));
    let parts = ["stage `evaluation`", "the model's context will be 16", "hint:", "in [pretrain]"];
    place.fails(&["run", "tiny.toml"], &parts);
    assert!(place.path("runs/tiny/tokenizer").exists() && !place.path("runs/tiny/pretrain").exists());
}

#[test]
fn tuning_beyond_the_positions_of_the_base_model_is_found_before_it_is_trained() {
    let place = Place::with(TINY);
    let parts = ["stage `model`", "`context` is 128, more than the 64 positions", "hint:"];
    place.fails(&["run", "tiny.toml", "--set", "model.context=128"], &parts);
    assert!(!place.path("runs/tiny/pretrain").exists());
}
