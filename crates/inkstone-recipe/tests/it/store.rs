//! Damage, copies, ids, newer versions.

use std::fs;
use std::path::Path;

use inkstone_recipe::{Artifact, RecipeError, Store};

use crate::toys::{Bench, RECIPE, executed};

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[0] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn edit_manifest(artifact: &Artifact, from: &str, to: &str) {
    let path = artifact.folder.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from));
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn a_flipped_bit_is_found_and_named() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    flip(&bench.path("runs/toy/loud/text.txt"));
    let error = bench.artifact("loud").check().unwrap_err();
    assert!(matches!(error, RecipeError::Corrupt { .. }));
    assert!(error.to_string().contains("text.txt is damaged: its BLAKE3 is"), "{error}");
}

#[test]
fn a_damaged_input_is_made_anew_before_it_is_used() {
    let bench = Bench::new();
    let whole = bench.run(RECIPE, &["slow.steps=9"]);
    let expected = whole.stages[2].artifact.manifest.content.clone();
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    flip(&bench.path("runs/toy/loud/text.txt"));
    let report = bench.run(RECIPE, &["slow.steps=9"]);
    assert_eq!(executed(&report), ["loud", "slow"]);
    assert_eq!(report.stages[2].artifact.manifest.content, expected);
    assert!(bench.talk.text().contains("stage `loud` is made anew"), "{}", bench.talk.text());
}

#[test]
fn a_truncated_file_or_manifest_is_dropped_and_made_anew() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    fs::write(bench.path("runs/toy/loud/text.txt"), "").unwrap();
    let report = bench.run(RECIPE, &[]);
    assert_eq!(executed(&report), ["loud"]);
    assert!(report.stages[1].reasons[0].contains("text.txt: it has 0 bytes"), "{:?}", report.stages[1].reasons);
    fs::write(bench.path("runs/toy/slow/manifest.json"), "{\"format\": 1, ").unwrap();
    assert_eq!(executed(&bench.run(RECIPE, &[])), ["slow"]);
    fs::remove_file(bench.path("runs/toy/slow/manifest.json")).unwrap();
    assert_eq!(executed(&bench.run(RECIPE, &[])), ["slow"]);
    bench.artifact("slow").check().unwrap();
}

#[test]
fn a_newer_folder_is_left_alone() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    let loud = bench.artifact("loud");
    edit_manifest(&loud, "\"format\": 1", "\"format\": 9");
    let error = Artifact::open(&bench.path("runs/toy/loud")).unwrap_err();
    assert!(matches!(error, RecipeError::Newer { found: 9, supported: 1, .. }), "{error}");
    assert!(error.hint().unwrap().contains("update"));
    let error = bench.run_with(RECIPE, &[], &inkstone_recipe::Options::default()).unwrap_err();
    assert!(matches!(error, RecipeError::Newer { .. }), "{error}");
    assert!(loud.folder.join("text.txt").exists());
}

#[test]
fn a_manifest_that_leads_elsewhere_is_refused() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    edit_manifest(&bench.artifact("loud"), "\"path\": \"text.txt\"", "\"path\": \"../../x\"");
    let error = Artifact::open(&bench.path("runs/toy/loud")).unwrap_err();
    assert!(error.to_string().contains("leads out of the folder"), "{error}");
}

#[test]
fn a_changed_file_list_does_not_fit_the_content_id() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    let letters = bench.artifact("letters");
    let hash = letters.manifest.files[0].blake3.clone();
    fs::write(letters.folder.join("text.txt"), "99").unwrap();
    edit_manifest(&letters, &hash, blake3::hash(b"99").to_hex().as_ref());
    let error = bench.artifact("letters").check().unwrap_err();
    assert!(error.to_string().contains("content id"), "{error}");
}

#[test]
fn two_keys_that_give_the_same_bytes_keep_a_manifest_and_logs_each() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    let slow = bench.artifact("slow").manifest;
    let report = bench.run(RECIPE, &["loud.options.wide=true"]);
    assert_eq!(executed(&report), ["loud"], "the stages after it read the same bytes");
    let loud = bench.artifact("loud");
    assert_eq!(loud.manifest.config["options"]["wide"], true);
    let made = std::fs::read(loud.folder.join("logs/time.txt")).unwrap();
    bench.run(RECIPE, &[]);
    let before = bench.artifact("loud");
    assert_eq!(before.manifest.config["options"]["wide"], false);
    assert_eq!(before.manifest.content, loud.manifest.content);
    assert_ne!(std::fs::read(before.folder.join("logs/time.txt")).unwrap(), made);
    assert_eq!(slow.inputs["from"], before.manifest.id());
    assert!(matches!(bench.store().find(&loud.manifest.content.0), Err(RecipeError::Ambiguous { .. })));
    assert_eq!(bench.store().find(loud.manifest.id().as_str()).unwrap().manifest.key, loud.manifest.key);
}

#[test]
fn found_by_path_link_name_and_id() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    let store = bench.store();
    let content = bench.artifact("slow").manifest.content;
    let path = bench.path("runs/toy/slow").display().to_string();
    for reference in [path.as_str(), "toy/slow", &content.0, &content.0[..10]] {
        assert_eq!(store.find(reference).unwrap().manifest.content, content, "{reference}");
    }
    let error = store.find("toy/slov").unwrap_err();
    assert_eq!(error.hint().as_deref(), Some("did you mean `toy/slow`?"));
    let error = store.find(bench.path("texts").to_str().unwrap()).unwrap_err();
    assert!(matches!(error, RecipeError::NotAnArtifact { .. }), "{error}");
    let around = Store::around(&bench.artifact("slow")).unwrap();
    assert_eq!(around.runs().canonicalize().unwrap(), bench.path("runs").canonicalize().unwrap());
}

#[test]
fn a_copy_elsewhere_is_still_an_artifact() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    let copy = bench.path("copy");
    fs::create_dir(&copy).unwrap();
    for name in ["manifest.json", "text.txt"] {
        fs::copy(bench.artifact("loud").folder.join(name), copy.join(name)).unwrap();
    }
    let artifact = Artifact::open(&copy).unwrap();
    artifact.check().unwrap();
    assert!(Store::around(&artifact).is_none());
}

#[test]
fn something_in_the_place_of_a_link_is_not_overwritten() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path("runs/toy/corpus/precious")).unwrap();
    let error = bench.run_with(RECIPE, &[], &inkstone_recipe::Options::default()).unwrap_err();
    assert!(matches!(error, RecipeError::LinkBlocked { .. }), "{error}");
    assert!(bench.path("runs/toy/corpus/precious").exists());
}

#[test]
fn an_unwritable_store_names_the_path() {
    let bench = Bench::new();
    fs::write(bench.path("runs"), "a file").unwrap();
    let error = Store::open(&bench.path("runs")).unwrap_err();
    assert!(error.to_string().contains("runs/.store"), "{error}");
}

#[test]
fn source_hashes_are_remembered_but_not_too_long() {
    let bench = Bench::new();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(100);
    let file = fs::File::options().write(true).open(bench.path("a.txt")).unwrap();
    file.set_modified(old).unwrap();
    bench.run(RECIPE, &[]);
    let text = fs::read_to_string(bench.path("runs/.store/sources.json")).unwrap();
    assert!(text.contains("a.txt") && !text.contains("b.txt"), "only what has settled: {text}");
    fs::write(bench.path("a.txt"), "ONE ").unwrap();
    assert_eq!(executed(&bench.run(RECIPE, &[]))[0], "corpus");
    fs::write(bench.path("runs/.store/sources.json"), "nonsense").unwrap();
    assert!(executed(&bench.run(RECIPE, &[])).is_empty());
}

#[test]
fn a_full_disk_leaves_the_old_file() {
    use inkstone_recipe::fs::{IoError, write_atomic, write_atomic_with};
    let bench = Bench::new();
    let path = bench.path("checkpoint");
    write_atomic(&path, b"old").unwrap();
    let error: IoError = write_atomic_with(&path, |file| {
        std::io::Write::write_all(file, b"ne")?;
        Err(std::io::ErrorKind::StorageFull.into())
    })
    .unwrap_err();
    assert!(error.to_string().contains("checkpoint") && error.hint().unwrap().contains("disk is full"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(fs::read_dir(bench.folder.path()).unwrap().count(), 3, "nothing is left beside it");
}

#[test]
fn what_a_kill_left_after_publishing_is_not_gone_on_with() {
    let bench = Bench::new();
    let key = bench.run(RECIPE, &[]).stages[2].artifact.manifest.key.clone();
    let partial = bench.path("runs/.store/partial").join(&key.0);
    fs::create_dir_all(partial.join("state")).unwrap();
    fs::write(partial.join("state/checkpoint.json"), "[5, 1]").unwrap();
    let from = inkstone_recipe::Options { from: Some("slow".to_owned()), ..Default::default() };
    bench.talk.0.lock().unwrap().clear();
    bench.run_with(RECIPE, &[], &from).unwrap();
    assert!(
        bench.talk.text().contains("step 0") && !bench.talk.text().contains("other bytes"),
        "{}",
        bench.talk.text()
    );
    fs::create_dir_all(partial.join("state")).unwrap();
    bench.run(RECIPE, &[]);
    assert!(!partial.exists());
}
