//! Real texts, where they are at hand.

use inkstone_corpus::Split;
use serde_json::json;

use crate::support::{Desk, real_data};

fn texts(desk: &Desk) -> String {
    [desk.texts(Split::Train), desk.texts(Split::Validation)].concat().concat()
}

#[test]
fn shakespeare_in_pieces_is_whole() {
    let Some(data) = real_data("shakespeare_in_pieces_is_whole") else {
        return;
    };
    let (desk, path) = (Desk::new(), data.join("tiny_shakespeare.txt"));
    let settings = json!({
        "document": "piece", "max_document_bytes": 2048, "split": "tail", "validation": 0.1,
        "normalization": "none", "deduplicate": false,
    });
    let metrics = desk.corpus(&[path.to_str().unwrap()], settings).unwrap();
    assert_eq!(texts(&desk), std::fs::read_to_string(path).unwrap());
    let share = metrics["validation_bytes"].as_f64().unwrap() / metrics["bytes"].as_f64().unwrap();
    assert!((0.098..0.102).contains(&share), "{share}");
}

#[test]
fn poems_and_web_pages() {
    let Some(data) = real_data("poems_and_web_pages") else {
        return;
    };
    let desk = Desk::new();
    for (name, keys) in [("tang_poems.jsonl", json!(["title", "author", "text"])), ("c4_demo.jsonl", json!("text"))] {
        let path = data.join(name);
        let lines = std::fs::read_to_string(&path).unwrap().lines().filter(|line| !line.trim().is_empty()).count();
        let metrics = desk.corpus(&[path.to_str().unwrap()], json!({ "text": keys })).unwrap();
        let number = |key: &str| metrics[key].as_u64().unwrap() as usize;
        assert_eq!(number("bad_records"), 0);
        assert_eq!(number("documents") + number("duplicates") + number("short"), lines, "{name}");
        assert_eq!(desk.documents(Split::Train).len(), number("train_documents"));
        assert!(number("validation_documents") * 30 > number("documents"), "{name}");
    }
}

#[test]
fn wikitext_by_lines_and_paragraphs() {
    let Some(data) = real_data("wikitext_by_lines_and_paragraphs") else {
        return;
    };
    let (desk, path) = (Desk::new(), data.join("wikitext2.valid.txt"));
    for document in ["line", "paragraph", "file"] {
        let metrics = desk.corpus(&[path.to_str().unwrap()], json!({ "document": document })).unwrap();
        assert!(metrics["documents"].as_u64().unwrap() > 1, "{document}");
        assert_eq!(metrics["bad_records"], 0);
    }
}

#[test]
fn chat_data_in_two_languages_and_with_tools() {
    let Some(data) = real_data("chat_data_in_two_languages_and_with_tools") else {
        return;
    };
    let desk = Desk::new();
    for name in ["alpaca_zh_demo.json", "alpaca_en_demo.json", "glaive_toolcall_en_demo.json", "gsm8k.train.jsonl"] {
        let path = data.join(name);
        let metrics = desk.chat(&[path.to_str().unwrap()], json!({})).unwrap();
        let number = |key: &str| metrics[key].as_u64().unwrap();
        assert!(number("conversations") >= 250, "{name}: {metrics:?}");
        assert!(number("bad_records") * 50 <= number("conversations"), "{name}: {metrics:?}");
        assert_eq!(desk.conversations(Split::Validation).len() as u64, number("validation_conversations"));
    }
}
