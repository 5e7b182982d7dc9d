//! Killed anywhere, a run goes on and gives the same bytes.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Place, TINY, files, flip};

/// Milliseconds below `most`, a function of `seed` and `index` (splitmix64).
fn draw(seed: u64, index: u64, most: u64) -> u64 {
    let mut x = seed.wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (x ^ (x >> 31)) % most
}

fn start(place: &Place) -> Child {
    place.command(&["run", "tiny.toml"]).stderr(Stdio::null()).spawn().unwrap()
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn killed_and_resumed_gives_the_same_model() {
    let whole = Place::with(TINY);
    let started = Instant::now();
    whole.ok(&["run", "tiny.toml"]);
    let most = started.elapsed().as_millis() as u64;
    let place = Place::with(TINY);
    for index in 0..6 {
        let child = start(&place);
        std::thread::sleep(Duration::from_millis(draw(11, index, most)));
        kill(child);
    }
    place.ok(&["run", "tiny.toml"]);
    for stage in ["corpus", "chat", "tokenizer", "pretrain.tokens", "pretrain", "model"] {
        assert_eq!(place.id(stage), whole.id(stage), "{stage}");
    }
}

/// Kills a long training once it has two checkpoints.
fn interrupted(recipe: &str) -> Place {
    let place = Place::with(recipe);
    let child = start(&place);
    let begun = Instant::now();
    while checkpoints(&place).len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no checkpoints");
        std::thread::sleep(Duration::from_millis(5));
    }
    kill(child);
    place
}

fn checkpoints(place: &Place) -> Vec<std::path::PathBuf> {
    let mut found = files(&place.path("runs/.store/partial"), "optimizer.safetensors");
    found.retain(|path| !path.to_string_lossy().contains(".partial/") && path.with_file_name("state.json").exists());
    found
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before() {
    let recipe = TINY.replace("steps = 12", "steps = 150");
    let place = interrupted(&recipe);
    let newest = checkpoints(&place).pop().unwrap();
    flip(&newest);
    let err = place.ok(&["run", "tiny.toml"]).1;
    let step = newest.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let line = err.lines().find(|line| line.contains("using the one before it")).unwrap_or_else(|| panic!("{err}"));
    assert!(line.contains(step) && line.contains("optimizer.safetensors"), "{line}");
    let whole = Place::with(&recipe);
    whole.ok(&["run", "tiny.toml"]);
    assert_eq!(place.id("model"), whole.id("model"));
}

#[test]
fn a_second_run_at_once_is_told_who_holds_the_store() {
    let place = Place::with(&TINY.replace("steps = 12", "steps = 100000"));
    let child = start(&place);
    let begun = Instant::now();
    while !std::fs::read(place.path("runs/.store/lock")).is_ok_and(|text| !text.is_empty()) {
        assert!(begun.elapsed() < Duration::from_secs(60), "no lock");
        std::thread::sleep(Duration::from_millis(5));
    }
    let holder = format!("process {}", child.id());
    place.fails(&["run", "tiny.toml", "--no-wait"], &["is in use by", &holder, "hint:"]);
    kill(child);
}
