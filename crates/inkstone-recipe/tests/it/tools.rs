//! verify, lineage, gc, ls, diff.

use std::fs;

use inkstone_recipe::{Outcome, diff, gc, lineage, list, verify};

use crate::toys::{Bench, RECIPE, UpperTwo, registry};

fn outcomes(bench: &Bench, stage: &str) -> Vec<(String, Outcome)> {
    let report = verify(&bench.artifact(stage), &bench.store(), &registry(), &bench.environment()).unwrap();
    assert!(
        fs::read_dir(bench.path("runs/.store"))
            .unwrap()
            .all(|e| { !e.unwrap().file_name().to_str().unwrap().starts_with("verify-") })
    );
    report.stages.into_iter().map(|s| (s.stage, s.outcome)).collect()
}

fn with_noise() -> String {
    format!("{RECIPE}\n[noise]\nkind = \"noisy\"\nfrom = \"loud\"\n[after]\nkind = \"upper\"\nfrom = \"noise\"\n")
}

#[test]
fn verify_makes_everything_again() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    let outcomes = outcomes(&bench, "letters");
    let names: Vec<&str> = outcomes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["corpus", "loud", "letters.upper", "letters"]);
    assert!(outcomes.iter().all(|(_, o)| *o == Outcome::Same), "{outcomes:?}");
}

#[test]
fn verify_finds_a_stage_that_is_not_deterministic() {
    let bench = Bench::new();
    bench.run(&with_noise(), &[]);
    let outcomes = outcomes(&bench, "after");
    let Outcome::Different { files } = &outcomes[2].1 else { panic!("{outcomes:?}") };
    assert_eq!(files.len(), 1);
    assert_eq!((files[0].path.as_str(), files[0].how.as_str()), ("text.txt", "other bytes"));
    assert_eq!(outcomes[3].1, Outcome::Same, "it read the recorded bytes");
}

#[test]
fn verify_says_why_it_could_not() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    let why = |stage: &str| match &outcomes(&bench, stage)[0].1 {
        Outcome::CouldNot { reason } => reason.clone(),
        other => panic!("{other:?}"),
    };
    fs::write(bench.path("a.txt"), "uno ").unwrap();
    assert_eq!(why("letters"), "the source a.txt has changed since");
    assert_eq!(outcomes(&bench, "letters")[1].1, Outcome::Same, "the stored corpus is still there");
    fs::remove_file(bench.path("a.txt")).unwrap();
    assert!(why("corpus").contains("a.txt"));
    let mut registry = registry();
    registry.add::<UpperTwo>();
    let report = verify(&bench.artifact("loud"), &bench.store(), &registry, &bench.environment()).unwrap();
    let reason = "made by algorithm version 1, this program has 2".to_owned();
    assert_eq!(report.stages[1].outcome, Outcome::CouldNot { reason });
    assert!(!report.all_same());
}

#[test]
fn verify_reports_stored_bytes_that_are_damaged() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    fs::write(bench.path("runs/toy/letters/text.txt"), "99").unwrap();
    let outcomes = outcomes(&bench, "letters");
    let Outcome::Different { files } = &outcomes[3].1 else { panic!("{outcomes:?}") };
    assert_eq!(files[0].path, "text.txt");
    assert!(files[0].how.starts_with("damaged in the store"), "{files:?}");
}

#[test]
fn lineage_goes_back_to_the_sources() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    let tree = lineage(&bench.artifact("letters"), &bench.store()).unwrap();
    assert_eq!(tree.inputs[0].inputs[0].inputs[0].made.as_ref().unwrap().sources.len(), 2);
    let text = tree.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("letters (count) "), "{text}");
    assert!(lines[1].starts_with("└─ upper: letters.upper (upper) "), "{text}");
    assert!(lines[3].starts_with("      └─ from: corpus (words) "), "{text}");
    assert!(lines[5].contains("texts/b.txt (7 bytes, "), "{text}");
    assert_eq!(serde_json::to_value(&tree).unwrap()["inputs"][0]["field"], "upper");
}

#[test]
fn lineage_survives_what_is_gone() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    let corpus = bench.artifact("corpus").folder;
    fs::remove_dir_all(corpus).unwrap();
    let text = lineage(&bench.artifact("loud"), &bench.store()).unwrap().to_string();
    assert!(text.contains("no longer in the store"), "{text}");
}

#[test]
fn gc_takes_only_what_nothing_leads_to() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    bench.run(RECIPE, &["loud.times=3"]);
    let (store, environment) = (bench.store(), bench.environment());
    let before = list(&store).unwrap().len();
    let dry = gc(&store, true, &environment).unwrap();
    assert_eq!(list(&store).unwrap().len(), before);
    let report = gc(&store, false, &environment).unwrap();
    assert_eq!(report.bytes, dry.bytes);
    let removed: Vec<&str> = report.removed.iter().map(|r| r.stage.as_str()).collect();
    assert_eq!(removed.len(), 4, "{removed:?}");
    assert_eq!(report.kept, 5);
    let plan = bench.run(RECIPE, &["loud.times=3"]);
    assert!(plan.stages.iter().all(|s| s.cached), "nothing reachable was taken");
    assert_eq!(gc(&store, false, &environment).unwrap().removed.len(), 0);
}

#[test]
fn gc_keeps_inputs_that_only_lineage_reaches() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    for stage in ["corpus", "loud", "slow", "letters.upper"] {
        fs::remove_file(bench.path("runs/toy").join(stage)).unwrap();
    }
    let report = gc(&bench.store(), false, &bench.environment()).unwrap();
    let removed: Vec<&str> = report.removed.iter().map(|r| r.stage.as_str()).collect();
    assert_eq!(removed, ["slow"]);
    assert!(lineage(&bench.artifact("letters"), &bench.store()).unwrap().to_string().contains("a.txt"));
}

#[test]
fn gc_stops_at_a_linked_manifest_it_cannot_read() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    fs::write(bench.path("runs/toy/letters/manifest.json"), "{").unwrap();
    assert!(gc(&bench.store(), false, &bench.environment()).is_err());
    assert!(bench.path("runs/toy/loud/text.txt").exists());
}

#[test]
fn gc_keeps_work_that_can_be_gone_on_with() {
    let bench = Bench::new();
    let _ = bench.run_with(RECIPE, &["slow.fail_at=2"], &inkstone_recipe::Options::default());
    let report = gc(&bench.store(), false, &bench.environment()).unwrap();
    assert_eq!(report.partials, 0);
    assert_eq!(fs::read_dir(bench.path("runs/.store/partial")).unwrap().count(), 1);
}

#[test]
fn ls_lists_with_links() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    let listed = list(&bench.store()).unwrap();
    let slow = listed.iter().find(|l| l.stage == "slow").unwrap();
    assert_eq!(slow.links, ["toy/slow"]);
    assert_eq!((slow.kind.as_str(), slow.recipe.as_str()), ("slow", "toy"));
    assert!(slow.bytes > 0 && slow.metrics["bytes"].is_number());
}

#[test]
fn diff_names_what_differs() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    let a = bench.artifact("loud");
    assert!(diff(&a, &a).is_empty());
    fs::write(bench.path("a.txt"), "fourteen ").unwrap();
    bench.run(RECIPE, &["loud.options.prefix=x", "seed=8"]);
    let text = diff(&a, &bench.artifact("loud")).to_string();
    assert!(text.contains("config  options.prefix: \"\" → \"x\""), "{text}");
    assert!(text.contains("made    seed: 7 → 8"), "{text}");
    assert!(text.contains("metric  bytes: 22 → 33"), "{text}");
    assert!(text.contains("input   from: "), "{text}");
    assert!(text.contains("file    text.txt: "), "{text}");
}
