//! Cache, layers, selection, order.

use std::fs;

use inkstone_recipe::{Options, RecipeError, RunEnvironment, StageError, run};

use crate::toys::{Bench, RECIPE, executed, registry};

#[test]
fn runs_in_order_and_then_from_the_cache() {
    let bench = Bench::new();
    let first = bench.run(RECIPE, &[]);
    assert_eq!(executed(&first), ["corpus", "loud", "slow", "letters.upper", "letters"]);
    let text = fs::read_to_string(bench.path("runs/toy/loud/text.txt")).unwrap();
    assert_eq!(text, "ONE TWO 砚ONE TWO 砚");
    assert!(bench.talk.text().contains("[2/5] loud (upper): never run"), "{}", bench.talk.text());
    // Nobody waits for measurements that nothing is made by.
    let measure = || panic!("the machine was measured");
    let environment = RunEnvironment { measure: Some(&measure), ..bench.environment() };
    let recipe = bench.recipe(RECIPE, &[]).unwrap();
    let second = run(&recipe, &registry(), &bench.store(), &Options::default(), &environment).unwrap();
    assert!(executed(&second).is_empty());
    assert!(bench.talk.text().contains("[5/5] letters (count): cached"), "{}", bench.talk.text());
    assert_eq!(fs::read_dir(bench.path("runs/.store/partial")).unwrap().count(), 0);
}

#[test]
fn manifest_says_what_was_made_from_what() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    let corpus = bench.artifact("corpus").manifest;
    let paths: Vec<&str> = corpus.sources.iter().map(|s| s.path.as_str()).collect();
    assert_eq!(paths, ["a.txt", "texts/b.txt"]);
    assert_eq!(corpus.logs.len(), 1);
    assert_eq!(corpus.files.len(), 1);
    assert_eq!(corpus.predicted.as_ref().unwrap()["seconds"], 2.0);
    assert!(corpus.ended >= corpus.started);
    let loud = bench.artifact("loud").manifest;
    assert_eq!(loud.inputs["from"], corpus.id());
    assert_eq!(loud.seed, 7);
    assert_eq!(loud.config["options"]["wide"], false);
    assert!(bench.artifact("loud").check().is_ok());
}

#[test]
fn links_are_relative_and_lead_to_content() {
    let bench = Bench::new();
    let report = bench.run(RECIPE, &[]);
    let target = fs::read_link(bench.path("runs/toy/slow")).unwrap();
    assert!(target.starts_with("../.store/objects"), "{target:?}");
    assert_eq!(report.stages[2].link, bench.path("runs/toy/slow"));
    fs::rename(bench.path("runs"), bench.path("elsewhere")).unwrap();
    assert!(inkstone_recipe::Artifact::open(&bench.path("elsewhere/toy/slow")).is_ok());
}

#[test]
fn same_key_same_content_in_another_store() {
    let (a, b) = (Bench::new(), Bench::new());
    for (x, y) in a.run(RECIPE, &[]).stages.iter().zip(b.run(RECIPE, &[]).stages) {
        assert_eq!(x.artifact.manifest.key, y.artifact.manifest.key);
        assert_eq!(x.artifact.manifest.content, y.artifact.manifest.content);
    }
}

#[test]
fn names_and_order_of_stages_do_not_matter() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    let renamed = RECIPE.replace("loud", "shout").replace("corpus]", "texts]").replace("\"corpus\"", "\"texts\"");
    assert!(executed(&bench.run(&renamed, &[])).is_empty());
    let (head, stages) = RECIPE.split_once("[corpus]").unwrap();
    let (first, rest) = stages.split_once("[loud]").unwrap();
    let report = bench.run(&format!("{head}[loud]{rest}[corpus]{first}"), &[]);
    assert!(executed(&report).is_empty());
    assert_eq!(report.stages[0].name, "corpus");
}

#[test]
fn each_ingredient_counts() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    assert_eq!(executed(&bench.run(RECIPE, &["slow.steps=6"])), ["slow"]);
    assert_eq!(executed(&bench.run(RECIPE, &["loud.options.prefix=x"])), ["loud", "slow", "letters.upper", "letters"]);
    fs::write(bench.path("a.txt"), "uno ").unwrap();
    let all = ["corpus", "loud", "slow", "letters.upper", "letters"];
    assert_eq!(executed(&bench.run(RECIPE, &[])), all);
    assert_eq!(executed(&bench.run(RECIPE, &["seed=8"])), all);
}

#[test]
fn set_takes_toml_values_and_bare_strings() {
    let bench = Bench::new();
    let sets =
        ["loud.times=3", "loud.style=lower", "corpus.paths=[\"a.txt\"]", "loud.options.prefix='> '", "name=other"];
    bench.run(RECIPE, &sets);
    assert_eq!(fs::read_to_string(bench.path("runs/other/loud/text.txt")).unwrap(), "> one one one ");
}

#[test]
fn only_runs_what_is_named() {
    let bench = Bench::new();
    let only = |names: &[&str]| Options { only: names.iter().map(|n| (*n).to_owned()).collect(), ..Options::default() };
    let error = bench.run_with(RECIPE, &[], &only(&["loud"])).unwrap_err();
    assert_eq!(error.to_string(), "stage `loud` reads `corpus`, which is not in the cache");
    bench.run_with(RECIPE, &[], &only(&["corpus", "loud"])).unwrap();
    let report = bench.run_with(RECIPE, &[], &only(&["letters"])).unwrap();
    assert_eq!(executed(&report), ["letters.upper", "letters"]);
    assert!(!bench.path("runs/toy/slow").exists());
}

#[test]
fn from_runs_what_follows_even_when_cached() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    let from = Options { from: Some("slow".to_owned()), ..Options::default() };
    assert_eq!(executed(&bench.run_with(RECIPE, &[], &from).unwrap()), ["slow"]);
    let from = Options { from: Some("loud".to_owned()), ..Options::default() };
    let report = bench.run_with(RECIPE, &[], &from).unwrap();
    assert_eq!(executed(&report), ["loud", "slow", "letters.upper", "letters"]);
    assert_eq!(report.stages[1].reasons, ["asked for with --from"]);
}

#[test]
fn the_stored_recipe_gives_the_same_keys() {
    let bench = Bench::new();
    bench.run(RECIPE, &["loud.times=4"]);
    let stored = bench.artifact("letters").manifest.recipe_toml;
    assert!(stored.contains("times = 4") && stored.contains("wide = false"), "{stored}");
    assert!(executed(&bench.run(&stored, &[])).is_empty());
    let again = bench.recipe(&stored, &[]).unwrap().resolved_toml(&registry()).unwrap();
    assert_eq!(again, stored);
}

#[test]
fn a_failure_names_the_stage_and_keeps_finished_work() {
    let bench = Bench::new();
    let error = bench.run_with(RECIPE, &["slow.fail_at=3"], &Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "stage `slow`: the toy broke");
    assert_eq!(error.hint().as_deref(), Some("mend it"));
    assert!(bench.path("runs/toy/loud/text.txt").exists());
    // The state is still there: the second attempt goes on from step 3.
    bench.talk.0.lock().unwrap().clear();
    assert_eq!(executed(&bench.run(RECIPE, &["slow.fail_at=3"])), ["slow", "letters.upper", "letters"]);
    assert!(!bench.talk.text().contains("step 2") && bench.talk.text().contains("step 3"));
}

#[test]
fn an_interrupt_stops_and_the_same_command_goes_on() {
    let bench = Bench::new();
    bench.run(&RECIPE.replace("steps = 5", "steps = 6"), &[]);
    let expected = bench.artifact("slow").manifest.content;
    let bench = Bench::new();
    let (interrupt, error) = (
        bench.interrupt.clone(),
        std::thread::scope(|scope| {
            let run =
                scope.spawn(|| bench.run_with(RECIPE, &["slow.steps=6", "slow.pause_ms=40"], &Options::default()));
            while !bench.talk.text().contains("step 1") {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            bench.interrupt.request();
            run.join().unwrap().unwrap_err()
        }),
    );
    assert!(matches!(&error, RecipeError::Interrupted { stage } if stage == "slow"), "{error}");
    interrupt.clear();
    bench.talk.0.lock().unwrap().clear();
    bench.run(RECIPE, &["slow.steps=6", "slow.pause_ms=40"]);
    assert!(!bench.talk.text().contains("step 0"));
    assert_eq!(bench.artifact("slow").manifest.content, expected);
    assert!(bench.artifact("slow").manifest.cost.seconds >= 0.2, "both attempts count");
}

#[test]
fn a_stage_error_keeps_its_source() {
    let error = StageError::from_error(std::io::Error::other("inner"), Some("hint"));
    assert!(std::error::Error::source(&error).is_some());
}
