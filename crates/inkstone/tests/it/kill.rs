//! Killed anywhere, a run goes on and gives the same bytes.

use std::io::{BufRead, BufReader};
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

/// Starts a run and kills it `wait` milliseconds after it has begun stage `number`; whether it was
/// still at that stage, as far as it said.
fn killed_in_stage(place: &Place, number: usize, wait: u64) -> bool {
    let mut child = place.command(&["run", "tiny.toml"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let begun = |line: &String, number: usize| line.starts_with(&format!("[{number}/9]"));
    assert!(lines.any(|line| begun(&line, number)), "stage {number} never began");
    std::thread::sleep(Duration::from_millis(wait));
    let alive = child.try_wait().unwrap().is_none();
    kill(child);
    let later = lines.any(|line| begun(&line, number + 1));
    alive && !later
}

#[test]
fn killed_and_resumed_gives_the_same_model() {
    let recipe = TINY.replace("steps = 12", "steps = 90").replace("steps = 8", "steps = 60");
    let whole = Place::with(&recipe);
    whole.ok(&["run", "tiny.toml"]);
    let place = Place::with(&recipe);
    // The stages that train take long enough to be killed within more than once.
    let moments = [(1, 2), (2, 2), (4, 4), (5, 2), (6, 80), (6, 80), (7, 2), (8, 60), (8, 60), (9, 10)];
    let hit = moments
        .iter()
        .zip(0..)
        .filter(|&(&(stage, most), index)| killed_in_stage(&place, stage, draw(11, index, most)));
    let hit: Vec<usize> = hit.map(|((stage, _), _)| *stage).collect();
    assert!(hit.contains(&6) && hit.contains(&8), "killed only in {hit:?}");
    place.ok(&["run", "tiny.toml"]);
    for stage in ["corpus", "chat", "tokenizer", "pretrain.tokens", "pretrain", "model"] {
        assert_eq!(place.id(stage), whole.id(stage), "{stage}");
    }
}

/// Kills a long training once it has two checkpoints.
pub(crate) fn interrupted(recipe: &str) -> Place {
    let place = Place::with(recipe);
    let child = start(&place);
    let begun = Instant::now();
    while checkpoints(&place).len() < 2 {
        assert!(begun.elapsed() < Duration::from_mins(1), "no checkpoints");
        std::thread::sleep(Duration::from_millis(5));
    }
    kill(child);
    place
}

/// The optimiser states of the finished checkpoints, oldest first.
pub(crate) fn checkpoints(place: &Place) -> Vec<std::path::PathBuf> {
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
        assert!(begun.elapsed() < Duration::from_mins(1), "no lock");
        std::thread::sleep(Duration::from_millis(5));
    }
    let holder = format!("process {}", child.id());
    place.fails(&["run", "tiny.toml", "--no-wait"], &["is in use by", &holder, "hint:"]);
    kill(child);
}
