//! What a plan says.

use std::fs;

use inkstone_recipe::{Machine, Options, Plan, Registry, plan};

use crate::toys::{Bench, RECIPE, UpperTwo, registry};

fn planned_by(registry: &Registry, bench: &Bench, sets: &[&str], options: &Options) -> Plan {
    let recipe = bench.recipe(RECIPE, sets).unwrap();
    plan(&recipe, registry, &bench.store(), options, &Machine::default()).unwrap()
}

fn planned(bench: &Bench, sets: &[&str]) -> Plan {
    planned_by(&registry(), bench, sets, &Options::default())
}

fn reasons<'a>(plan: &'a Plan, stage: &str) -> &'a [String] {
    &plan.stages.iter().find(|s| s.name == stage).unwrap().reasons
}

#[test]
fn before_the_first_run() {
    let bench = Bench::new();
    let plan = planned(&bench, &[]);
    let names: Vec<&str> = plan.stages.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["corpus", "loud", "slow", "letters.upper", "letters"]);
    assert_eq!(reasons(&plan, "corpus"), ["never run"]);
    assert_eq!(reasons(&plan, "loud"), ["never run", "input from not made yet"]);
    assert!(plan.stages.iter().all(|s| s.will_run && !s.cached));
    // Estimates are handed on: 40 bytes foreseen by the corpus reach the last stage.
    assert_eq!(plan.stages[4].estimate.bytes, Some(40));
    assert_eq!(plan.total.seconds, Some(6.0));
    assert!(!bench.path("runs/toy").exists());
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["stages"][0]["cached"], false);
}

#[test]
fn after_it_everything_is_cached_and_measured() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    let plan = planned(&bench, &[]);
    assert!(plan.stages.iter().all(|s| s.cached && !s.will_run && s.reasons.is_empty() && s.measured.is_some()));
    assert_eq!(plan.total.seconds, None);
    assert_eq!(plan.stages[1].estimate.bytes, Some(40), "what was foreseen before it ran");
    let plan = planned(&bench, &["loud.times=3"]);
    assert_eq!(plan.stages[1].estimate.bytes, Some(11), "the measured size of the corpus");
}

#[test]
fn says_what_changed() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    let plan = planned(&bench, &["loud.times=3", "loud.options.wide=true"]);
    assert_eq!(reasons(&plan, "loud"), ["config changed: times 2 → 3, options.wide false → true"]);
    assert_eq!(reasons(&plan, "slow"), ["input from not made yet"]);
    assert_eq!(reasons(&planned(&bench, &["seed=9"]), "corpus"), ["seed 7 → 9"]);
    let plan = planned_by(registry().add::<UpperTwo>(), &bench, &[], &Options::default());
    assert_eq!(reasons(&plan, "loud"), ["algorithm version 1 → 2"]);
    fs::write(bench.path("texts/b.txt"), "drei").unwrap();
    assert_eq!(reasons(&planned(&bench, &[]), "corpus"), ["source texts/b.txt changed"]);
    let plan = planned(&bench, &["corpus.paths=[\"a.txt\"]"]);
    assert_eq!(reasons(&plan, "corpus")[1], "source texts/b.txt is gone");
}

#[test]
fn says_that_an_input_changed() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    let only = Options { only: vec!["loud".to_owned()], ..Options::default() };
    bench.run_with(RECIPE, &["loud.times=3"], &only).unwrap();
    let plan = planned(&bench, &["loud.times=3"]);
    assert_eq!(reasons(&plan, "slow"), ["input from changed"]);
}

#[test]
fn heeds_only_and_from() {
    let bench = Bench::new();
    bench.run(RECIPE, &[]);
    let options = Options { from: Some("slow".to_owned()), ..Options::default() };
    let plan = planned_by(&registry(), &bench, &[], &options);
    let running: Vec<&str> = plan.stages.iter().filter(|s| s.will_run).map(|s| s.name.as_str()).collect();
    assert_eq!(running, ["slow"]);
    assert_eq!(reasons(&plan, "slow"), ["asked for with --from"]);
}
