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
