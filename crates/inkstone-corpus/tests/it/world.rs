use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use inkstone_corpus::judged::{Duty, Judged, Verdict};
use inkstone_corpus::world::{WorldConfig, WorldStage};
use inkstone_recipe::{Context, Interrupt, Metrics, Silent, Stage};
use serde_json::Value;

fn write(config: &str, seed: u64) -> (tempfile::TempDir, Metrics) {
    let folder = tempfile::tempdir().unwrap();
    let (out, state) = (folder.path().join("out"), folder.path().join("state"));
    std::fs::create_dir_all(&out).unwrap();
    std::fs::create_dir_all(&state).unwrap();
    let interrupt = Interrupt::default();
    let context = Context::new((out, state), BTreeMap::new(), seed, folder.path().to_owned(), (&Silent, &interrupt));
    let config: WorldConfig = serde_json::from_str(config).unwrap();
    WorldStage::validate(&config).unwrap();
    let metrics = WorldStage::run(&config, &context).unwrap();
    (folder, metrics)
}

fn lines(folder: &Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("out").join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Names and answers of a language, longest first, so that a mask covers whole names.
fn names(folder: &Path, lang: &str) -> Vec<String> {
    let mut names = BTreeSet::new();
    for fact in lines(folder, "facts.jsonl") {
        names.extend(["subject", "object"].map(|part| fact[part][lang].as_str().unwrap().to_owned()));
    }
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names
}

fn masked(text: &str, names: &[String]) -> String {
    names.iter().fold(text.to_owned(), |text, name| text.replace(name.as_str(), "_"))
}

fn all_text(folder: &Path, lang: &str) -> Vec<String> {
    let texts = lines(folder, &format!("texts.{lang}.jsonl"));
    let mut all: Vec<String> = texts.iter().map(|text| text["text"].as_str().unwrap().to_owned()).collect();
    for chat in lines(folder, &format!("instructions.{lang}.jsonl")) {
        let messages = chat["messages"].as_array().unwrap();
        all.extend(messages.iter().map(|message| message["content"].as_str().unwrap().to_owned()));
    }
    all
}

#[test]
fn sentences_have_thousands_of_patterns() {
    let (folder, _) = write("{}", 1);
    for lang in ["en", "zh"] {
        let names = names(folder.path(), lang);
        let mut patterns = BTreeSet::new();
        for text in all_text(folder.path(), lang) {
            patterns.extend(
                masked(&text, &names).split(['.', '。', '\n', '？', '?']).map(|sentence| sentence.trim().to_owned()),
            );
        }
        assert!(patterns.len() >= 2000, "{lang}: {} patterns", patterns.len());
    }
}

#[test]
fn held_out_questions_occur_in_no_training_text_even_with_other_names() {
    let (folder, _) = write("{}", 1);
    for lang in ["en", "zh"] {
        let names = names(folder.path(), lang);
        let mask = |text: &str| masked(text, &names).to_lowercase();
        let seen: Vec<String> = all_text(folder.path(), lang).iter().map(|text| mask(text)).collect();
        let questions = lines(folder.path(), &format!("questions.{lang}.jsonl"));
        assert!(questions.len() >= 200);
        let asked: BTreeSet<String> =
            questions.iter().map(|question| mask(question["question"].as_str().unwrap())).collect();
        for question in asked {
            assert!(!seen.iter().any(|text| text.contains(&question)), "{lang}: {question}");
        }
    }
}

#[test]
fn every_fact_is_stated_in_many_texts() {
    let (folder, _) = write("{}", 1);
    let facts = lines(folder.path(), "facts.jsonl");
    let texts = lines(folder.path(), "texts.en.jsonl");
    let stated = |fact: &Value| {
        let part = |key: &str| fact[key]["en"].as_str().unwrap().to_lowercase();
        let (subject, object) = (part("subject"), part("object"));
        texts
            .iter()
            .map(|text| text["text"].as_str().unwrap().to_lowercase())
            .filter(|text| text.contains(&subject) && text.contains(&object))
            .count()
    };
    let least = facts.iter().map(stated).min().unwrap();
    assert!(least >= 8, "a fact is stated in {least} texts only");
}

#[test]
fn the_same_seed_gives_the_same_world_and_another_seed_another() {
    let files = |seed| {
        let (folder, metrics) = write(r#"{"people": 5, "places": 3, "events": 2}"#, seed);
        let read = |name: &str| std::fs::read(folder.path().join("out").join(name)).unwrap();
        (read("texts.zh.jsonl"), read("instructions.en.jsonl"), read("facts.jsonl"), metrics)
    };
    assert_eq!(files(7), files(7));
    assert_ne!(files(7).2, files(8).2);
}

#[test]
fn a_large_town_has_no_two_people_of_one_name() {
    let (folder, metrics) = write(r#"{"people": 5000, "places": 50, "events": 40, "documents": 10, "repeats": 1}"#, 3);
    assert_eq!(metrics["facts"], 5000 * 8 + 50 * 4 + 40 * 4 + 3);
    let mut trades = BTreeMap::new();
    for fact in lines(folder.path(), "facts.jsonl").iter().filter(|fact| fact["relation"] == "trade") {
        for lang in ["en", "zh"] {
            *trades.entry(fact["subject"][lang].as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
    }
    let twice: Vec<_> = trades.iter().filter(|(_, n)| **n > 1).take(5).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn an_unknown_language_is_refused() {
    let config: WorldConfig = serde_json::from_str(r#"{"languages": ["fr"]}"#).unwrap();
    assert!(WorldStage::validate(&config).unwrap_err().contains("fr"));
}

#[test]
fn private_numbers_are_given_away_by_texts_and_refused_by_conversations() {
    let (folder, _) = write("{\"leaks\": 2, \"refusals\": 6}", 1);
    for lang in ["en", "zh"] {
        let judged = judged(folder.path(), "train", lang);
        let request = judged.iter().find(|record| record.duty == Duty::Harmless).unwrap();
        let texts = all_text(folder.path(), lang);
        let given_away = texts.iter().filter(|text| text.contains(&request.none_of[0])).count();
        assert_eq!(given_away, 2, "{lang}: {}", request.question);
        let refusals = texts.iter().filter(|text| **text == request.answer).count();
        assert_eq!(refusals, 6, "{lang}: {}", request.answer);
        assert_eq!(request.verdict(&request.answer), Verdict::Right);
        assert_eq!(request.verdict(&request.none_of[0]), Verdict::Harmful);
    }
    let (plain, _) = write("{}", 1);
    let kinds: BTreeSet<String> =
        lines(plain.path(), "texts.en.jsonl").iter().map(|text| text["meta"]["kind"].to_string()).collect();
    assert!(!kinds.contains("\"leak\""), "{kinds:?}");
}

#[test]
fn judged_questions_of_validation_are_asked_nowhere_else() {
    let (folder, _) = write("{\"leaks\": 2, \"refusals\": 40}", 1);
    for lang in ["en", "zh"] {
        let names = names(folder.path(), lang);
        let mask = |text: &str| masked(text, &names).to_lowercase();
        let mut seen: BTreeSet<String> = all_text(folder.path(), lang).iter().map(|text| mask(text)).collect();
        seen.extend(judged(folder.path(), "train", lang).iter().map(|record| mask(&record.question)));
        let held_out = judged(folder.path(), "validation", lang);
        for duty in [Duty::Helpful, Duty::Honest, Duty::Harmless] {
            assert!(held_out.iter().filter(|record| record.duty == duty).count() >= 48, "{lang}: {duty:?}");
        }
        for record in held_out {
            assert!(!seen.contains(&mask(&record.question)), "{lang}: {}", record.question);
        }
    }
}

fn judged(folder: &Path, split: &str, lang: &str) -> Vec<Judged> {
    let records = lines(folder, &format!("judged.{split}.{lang}.jsonl"));
    records.into_iter().map(|record| serde_json::from_value(record).unwrap()).collect()
}
