//! Adapters, preferences, a reward model and rewards, the way a user meets them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Place, TINY, files};

/// What all tuning stages say.
const TRAINING: &str = "steps = 6\nbatch_size = 4\ncontext = 64\noptimizer = { learning_rate = 1e-3 }\nschedule = { kind = \"constant\", warmup = 1 }\ncheckpoint_every = 1\n";

/// An answer that never ends stops at `max_new_tokens`, is counted, and costs what the recipe says.
#[test]
fn an_answer_that_never_ends_is_cut_and_counted() {
    let stage = policy("grpo").replace("max_new_tokens = 6", "max_new_tokens = 1\nreward = { unfinished = -7.0 }");
    let place = Place::with(&recipe(&[("tuned", &stage)]));
    place.ok(&["run", "tiny.toml"]);
    let log = std::fs::read_to_string(place.path("runs/tiny/tuned/logs/metrics.jsonl")).unwrap();
    for line in log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let Some(unfinished) = line["policy/unfinished"].as_f64() else { continue };
        let reward = line["policy/reward"].as_f64().unwrap();
        assert!(unfinished > 0.0 && line["policy/length"].as_f64().unwrap() <= 2.0, "{line}");
        assert!((reward + 7.0 * unfinished).abs() < 1.0 + 1e-9, "{line}");
    }
}

/// The tiny recipe with stages after `model`.
fn recipe(stages: &[(&str, &str)]) -> String {
    let more = stages.iter().map(|(name, body)| format!("\n[{name}]\n{body}{TRAINING}"));
    TINY.replace(
        "[evaluation]\nkind = \"evaluate\"\nmodel = \"model\"\nquestions = \"world\"\nmax_new_tokens = 2\n",
        "",
    ) + &more.collect::<String>()
}

const PREFERENCES: &str = "kind = \"preferences\"\npaths = [\"pairs.jsonl\"]\nvalidation = 0.25\n";

fn write_pairs(place: &Place, pairs: impl Iterator<Item = Value>) {
    place.write("pairs.jsonl", pairs.map(|pair| pair.to_string() + "\n").collect::<String>());
}

fn pairs() -> impl Iterator<Item = Value> {
    (0..24).map(
        |n| json!({"prompt": format!("What is {n}?"), "chosen": format!("{n} it is"), "rejected": "no idea at all"}),
    )
}

fn with_preferences(stages: &[(&str, &str)]) -> Place {
    let text = recipe(stages) + "\n[pairs]\n" + PREFERENCES;
    let place = Place::with(&text);
    write_pairs(&place, pairs());
    place
}

/// What the manifest of a stage says.
fn metrics(place: &Place, stage: &str) -> Value {
    let manifest = std::fs::read(place.artifact(stage).join("manifest.json")).unwrap();
    serde_json::from_slice::<Value>(&manifest).unwrap()["metrics"].clone()
}

#[test]
fn an_adapter_is_trained_merged_and_put_on_again() {
    let lora = "kind = \"sft\"\nbase = \"pretrain\"\nchat = \"chat\"\npeft = { method = \"lora\", rank = 2 }\n";
    let place = Place::with(&recipe(&[("tuned", lora)]));
    place.ok(&["run", "tiny.toml"]);
    let metrics = metrics(&place, "tuned");
    let metric = |name: &str| metrics[name].as_f64().unwrap_or_else(|| panic!("no {name}: {metrics}"));
    let (trained, all) = (metric("trainable_parameters"), metric("parameters"));
    assert!(trained * 10.0 < all, "{trained} of {all}");
    let adapter = place.path("runs/tiny/tuned/adapter");
    let adapter = adapter.to_str().unwrap();
    place.ok(&["merge", "-m", "runs/tiny/pretrain", "--adapter", adapter, "-o", "merged"]);
    let weights = |folder: &str| std::fs::read(place.path(folder).join("model.safetensors")).unwrap();
    assert_eq!(weights("merged"), weights("runs/tiny/tuned"));
    let generate = |model: &str, more: &[&str]| {
        let args = [
            &["generate", "-m", model, "--prompt", "The", "--json", "--temperature", "0", "--max-new-tokens", "4"],
            more,
        ]
        .concat();
        place.json(&args)["ids"].clone()
    };
    assert_eq!(generate("merged", &[]), generate("runs/tiny/pretrain", &["--adapter", adapter]));
    let nothing = format!("{adapter}@0");
    assert_eq!(generate("runs/tiny/pretrain", &[]), generate("runs/tiny/pretrain", &["--adapter", &nothing]));
    place.fails(&["merge", "-m", "runs/tiny/pretrain", "-o", "again"], &["hint:", "--adapter"]);
    place.fails(&["merge", "-m", "runs/tiny/pretrain", "--adapter", adapter, "-o", "merged"], &["hint:", "merged"]);
}

#[test]
fn preferences_are_learnt_by_every_loss() {
    for loss in ["dpo", "ipo", "kto", "orpo", "simpo"] {
        let body = format!(
            "kind = \"preference\"\nbase = \"model\"\npreferences = \"pairs\"\nloss = {{ method = \"{loss}\" }}\n"
        );
        let place = with_preferences(&[("tuned", &body)]);
        place.ok(&["run", "tiny.toml"]);
        let log = std::fs::read_to_string(place.path("runs/tiny/tuned/logs/metrics.jsonl")).unwrap();
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let margins: Vec<f64> = lines.iter().filter_map(|line| line["preference/margin"].as_f64()).collect();
        assert_eq!(margins.len(), 6, "{loss}");
        assert!(margins[5] > margins[0], "{loss}: {margins:?}");
        if loss == "dpo" {
            let first = lines[0]["train/loss"].as_f64().unwrap();
            assert!((first - std::f64::consts::LN_2).abs() < 1e-6, "the first loss is {first}");
        }
    }
}

#[test]
fn a_reward_model_judges_held_out_pairs() {
    let body = "kind = \"reward\"\nbase = \"model\"\npreferences = \"pairs\"\n";
    let place = with_preferences(&[("judge", body)]);
    place.ok(&["run", "tiny.toml"]);
    let judgement: Value =
        serde_json::from_slice(&std::fs::read(place.path("runs/tiny/judge/judgement.json")).unwrap()).unwrap();
    assert!(judgement["accuracy"]["value"].as_f64().unwrap() > 0.9, "{judgement}");
    assert!(judgement["length_accuracy"]["value"].as_f64().is_some(), "{judgement}");
}

fn policy(method: &str) -> String {
    format!(
        "kind = \"policy\"\nbase = \"model\"\nquestions = \"chat\"\nalgorithm = {{ method = \"{method}\" }}\nprompts = 2\nanswers = 2\nminibatches = 2\nepochs_per_iteration = 2\nmax_new_tokens = 6\n"
    )
}

#[test]
fn rewards_are_learnt_from_and_a_killed_run_ends_with_the_same_bytes() {
    for method in ["grpo", "rloo", "ppo"] {
        let mix = "pretraining = { corpus = \"corpus\", weight = 0.5, batch_size = 2 }\nkl_target = 0.01\n";
        let stage = policy(method) + if method == "ppo" { mix } else { "" };
        let text = recipe(&[("tuned", &stage)]).replace("steps = 6", "steps = 12");
        let whole = Place::with(&text);
        whole.ok(&["run", "tiny.toml"]);
        let log = std::fs::read_to_string(whole.path("runs/tiny/tuned/logs/metrics.jsonl")).unwrap();
        let first: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
        assert_eq!(first["policy/kl"], json!(0.0), "{method}: the policy leaves its reference before the first step");
        assert_eq!(first["policy/explained_variance"].is_number(), method == "ppo");
        assert_eq!(first["policy/pretraining_loss"].is_number(), method == "ppo");
        let strengths: std::collections::BTreeSet<String> = log
            .lines()
            .filter_map(|line| {
                Some(serde_json::from_str::<Value>(line).ok()?["policy/kl_strength"].as_f64()?.to_string())
            })
            .collect();
        assert_eq!(strengths.len() > 1, method == "ppo", "{method}: {strengths:?}");

        let place = Place::with(&text);
        let mut child = place.command(&["run", "tiny.toml"]).spawn().unwrap();
        let begun = Instant::now();
        // Amid an iteration: the rollouts of the second are there, and a checkpoint.
        while files(&place.path("runs"), "rollouts-0000001.json").is_empty() {
            assert!(begun.elapsed() < Duration::from_mins(1), "{method}: no second iteration");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        place.ok(&["run", "tiny.toml"]);
        assert_eq!(place.id("tuned"), whole.id("tuned"), "{method}");
    }
}

#[test]
fn a_policy_never_leaves_its_bound() {
    let stage = policy("ppo") + "kl_bound = 1e-9\n";
    let text = recipe(&[("tuned", &stage)]).replace("steps = 6", "steps = 12");
    let place = Place::with(&text);
    place.ok(&["run", "tiny.toml"]);
    let metrics = metrics(&place, "tuned");
    // The first iteration's steps lead outside, so that the second is not learnt from and the reference is what is left.
    assert_eq!((metrics["steps"].as_u64(), metrics["kl"].as_f64()), (Some(4), Some(0.0)), "{metrics}");
    let weights = |stage: &str| std::fs::read(place.path("runs/tiny").join(stage).join("model.safetensors")).unwrap();
    assert_eq!(weights("tuned"), weights("model"));

    let wide = Place::with(&text.replace("kl_bound = 1e-9", "kl_bound = 1e9"));
    wide.ok(&["run", "tiny.toml"]);
    let metrics = self::metrics(&wide, "tuned");
    assert_eq!(metrics["steps"].as_u64(), Some(12));
    assert!(metrics["kl"].as_f64().is_some_and(|kl| kl != 0.0), "{metrics}");
    let free = Place::with(&text.replace("kl_bound = 1e-9\n", ""));
    free.ok(&["run", "tiny.toml"]);
    let bytes = |place: &Place| std::fs::read(place.path("runs/tiny/tuned/model.safetensors")).unwrap();
    assert_eq!(bytes(&wide), bytes(&free), "a bound that is never met changes nothing");
}

#[test]
fn an_adapter_that_is_no_matrix_stays_beside_its_model() {
    for (name, peft) in [
        ("houlsby", "{ method = \"houlsby\", width = 4, targets = [\"o_proj\", \"down_proj\"] }"),
        ("prefix", "{ method = \"prefix\", virtual_tokens = 3 }"),
    ] {
        stays_beside(name, peft);
    }
}

fn stays_beside(name: &str, peft: &str) {
    let tuned = format!("kind = \"sft\"\nbase = \"pretrain\"\nchat = \"chat\"\npeft = {peft}\n");
    let asked = "\n[evaluation]\nkind = \"evaluate\"\nmodel = \"tuned\"\nquestions = \"world\"\nlimit = 2\nmax_new_tokens = 2\n";
    let mut text = recipe(&[("tuned", &tuned)]);
    // Three positions are the prefix's.
    let context = text.rfind("context = 64").unwrap();
    text.replace_range(context.., &text[context..].replace("context = 64", "context = 61"));
    let place = Place::with(&(text + asked));
    place.ok(&["run", "tiny.toml"]);
    let generate = |model: &str, more: &[&str]| {
        let args =
            ["generate", "-m", model, "--prompt", "The", "--json", "--temperature", "0", "--max-new-tokens", "4"];
        place.json(&[&args, more].concat())["ids"].clone()
    };
    let tuned = generate("runs/tiny/tuned", &[]);
    let adapter = place.path("runs/tiny/tuned/adapter");
    assert_eq!(tuned, generate("runs/tiny/pretrain", &["--adapter", adapter.to_str().unwrap()]), "{name}");
}

#[test]
fn an_adapter_over_few_bits_is_merged_into_them() {
    for (bits, dropout) in [("nf4", "0.1"), ("int8", "0.0")] {
        let peft = format!("{{ method = \"lora\", rank = 2, base = \"{bits}\", dropout = {dropout} }}");
        let lora = format!("kind = \"sft\"\nbase = \"pretrain\"\nchat = \"chat\"\npeft = {peft}\n");
        let text = recipe(&[("tuned", &lora)]);
        let place = Place::with(&text);
        place.ok(&["run", "tiny.toml"]);
        let merged = std::fs::read(place.path("runs/tiny/tuned/model.safetensors")).unwrap();
        let adapter = place.path("runs/tiny/tuned/adapter");
        place.ok(&["merge", "-m", "runs/tiny/pretrain", "--adapter", adapter.to_str().unwrap(), "-o", "whole"]);
        let whole = std::fs::read(place.path("whole/model.safetensors")).unwrap();
        assert_ne!(merged, whole, "{bits}: the adapter was merged into weights that it was not trained over");
        let again = Place::with(&text);
        again.ok(&["run", "tiny.toml"]);
        assert_eq!(again.id("tuned"), place.id("tuned"), "{bits}");
    }
}

#[test]
fn models_are_compared_and_a_reward_model_chooses() {
    let judge = "kind = \"reward\"\nbase = \"model\"\npreferences = \"pairs\"\n";
    let compare = "\n[wins]\nkind = \"win-rate\"\nmodel = \"model\"\nagainst = \"pretrain\"\nquestions = \"world\"\ntexts = \"corpus\"\nlimit = 6\nmax_new_tokens = 3\n";
    let best = "\n[best]\nkind = \"best-of\"\nmodel = \"model\"\nreward_model = \"judge\"\nquestions = \"world\"\nprompts = 2\nanswers = 4\nmax_new_tokens = 3\n";
    let place = Place::with(&(recipe(&[("judge", judge)]) + "\n[pairs]\n" + PREFERENCES + compare + best));
    write_pairs(&place, pairs());
    place.ok(&["run", "tiny.toml"]);
    let read = |path: &str| -> Value { serde_json::from_slice(&std::fs::read(place.path(path)).unwrap()).unwrap() };
    let comparison = read("runs/tiny/wins/win_rate.json");
    let asked: u64 = ["wins", "ties", "losses"].map(|key| comparison[key].as_u64().unwrap()).iter().sum();
    assert!((3..=6).contains(&asked), "{comparison}");
    assert!(comparison["bits_per_byte"][1].as_f64().unwrap() > 0.0, "{comparison}");
    let curve = read("runs/tiny/best/best_of.json");
    assert_eq!(curve.as_array().unwrap().len(), 3, "{curve}");
    let report = std::fs::read_to_string(place.path("runs/tiny/report.html")).unwrap();
    assert!(report.contains("Win rate") && report.contains("best of n"));
}

#[test]
fn what_cannot_be_aligned_is_refused_with_a_hint() {
    let dpo = "kind = \"preference\"\nbase = \"model\"\npreferences = \"pairs\"\nloss = { method = \"dpo\" }\n";
    let kto = dpo.replace("dpo", "kto");
    let place = with_preferences(&[("tuned", dpo)]);
    let long = "word ".repeat(400);
    write_pairs(&place, (0..4).map(|n| json!({"prompt": format!("{n} {long}"), "chosen": "a", "rejected": "b"})));
    place.fails(&["run", "tiny.toml"], &["no record", "hint:", "context"]);
    write_pairs(&place, (0..4).map(|n| json!({"prompt": format!("{n}"), "chosen": "a", "rejected": "a"})));
    place.fails(&["run", "tiny.toml"], &["equal"]);
    write_pairs(&place, (0..4).map(|n| json!({"prompt": format!("{n}"), "chosen": "", "rejected": "a"})));
    place.fails(&["run", "tiny.toml"], &["says nothing"]);

    let place = with_preferences(&[("tuned", &kto)]);
    write_pairs(&place, (0..8).map(|n| json!({"prompt": format!("{n}"), "completion": "a", "label": true})));
    place.fails(&["run", "tiny.toml"], &["same label", "hint:"]);

    let lora = "kind = \"sft\"\nbase = \"pretrain\"\nchat = \"chat\"\npeft = { method = \"lora\", targets = [\"query_key\"] }\n";
    Place::with(&recipe(&[("tuned", lora)])).fails(&["run", "tiny.toml"], &["query_key", "q_proj", "hint:"]);
    let one = policy("grpo").replace("answers = 2", "answers = 1");
    Place::with(&recipe(&[("tuned", &one)])).fails(&["run", "tiny.toml"], &["`answers` is 1"]);
    let short = policy("grpo").replace("max_new_tokens = 6", "max_new_tokens = 62");
    Place::with(&recipe(&[("tuned", &short)])).fails(&["run", "tiny.toml"], &["no prompt leaves room", "hint:"]);
    // Finite settings, and a reward that is not.
    let dear = policy("grpo").replace("max_new_tokens = 6", "max_new_tokens = 6\nreward = { per_token = 1.7e308 }");
    Place::with(&recipe(&[("tuned", &dear)])).fails(&["run", "tiny.toml"], &["the reward of the answer", "inf"]);
    let boundless = policy("ppo") + "kl_bound = 0.0\n";
    Place::with(&recipe(&[("tuned", &boundless)])).fails(&["run", "tiny.toml"], &["`kl_bound` is 0"]);
    let few = "kind = \"sft\"\nbase = \"pretrain\"\nchat = \"chat\"\npeft = { method = \"lora\", dropout = 1.0 }\n";
    Place::with(&recipe(&[("tuned", few)])).fails(&["run", "tiny.toml"], &["`peft.dropout` is 1"]);
    let endless = policy("grpo").replace("max_new_tokens = 6", "max_new_tokens = 6\nreward = { unfinished = inf }");
    Place::with(&recipe(&[("tuned", &endless)])).fails(&["run", "tiny.toml"], &["finite"]);
}
