//! Reading, deduplicating and splitting texts.

use std::collections::BTreeMap;
use std::io::Write;

use inkstone_corpus::{ChatStage, CorpusStage, Split};
use inkstone_recipe::stage::SOURCES;
use inkstone_recipe::{Forecast, Machine, Stage};
use serde_json::json;

use crate::support::{Desk, message};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_text_format_gives_the_same_documents() {
    let jsonl = "{\"text\":\"床前明月光\"}\n{\"text\":\"疑是地上霜\"}\n";
    let csv = "n,text\n1,床前明月光\n2,疑是地上霜\n";
    let forms: [(&str, Vec<u8>); 9] = [
        ("a.txt", "床前明月光\n疑是地上霜\n".into()),
        ("a.txt", "\u{feff}床前明月光\r\n疑是地上霜".into()),
        ("a.jsonl", jsonl.into()),
        ("a.jsonl.gz", gzip(jsonl)),
        ("a.jsonl.zst", zstd::encode_all(jsonl.as_bytes(), 1).unwrap()),
        ("a.json", "[{\"text\":\"床前明月光\"},\n {\"text\":\"疑是地上霜\"}]".into()),
        ("a.json", jsonl.into()),
        ("a.csv", csv.into()),
        ("a.tsv", csv.replace(',', "\t").into()),
    ];
    for (name, bytes) in forms {
        let desk = Desk::with(&[(name, &bytes)]);
        desk.corpus(&[name], json!({ "document": "line", "validation": 0.0 })).unwrap();
        assert_eq!(desk.texts(Split::Train), ["床前明月光", "疑是地上霜"], "{name}");
        assert_eq!(desk.texts(Split::Validation), [""; 0]);
    }
}

#[test]
fn parquet_strings_of_every_kind() {
    use arrow_array::{ArrayRef, DictionaryArray, LargeStringArray, RecordBatch, StringArray, StringViewArray};
    use std::sync::Arc;
    let texts = ["one", "两", "three"];
    let columns: [ArrayRef; 4] = [
        Arc::new(StringArray::from(texts.to_vec())),
        Arc::new(LargeStringArray::from(texts.to_vec())),
        Arc::new(StringViewArray::from(texts.to_vec())),
        Arc::new(texts.into_iter().collect::<DictionaryArray<arrow_array::types::Int32Type>>()),
    ];
    for column in columns {
        let kind = column.data_type().clone();
        let batch = RecordBatch::try_from_iter([("text", column)]).unwrap();
        let mut bytes = Vec::new();
        let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let desk = Desk::with(&[("a.parquet", &bytes)]);
        desk.corpus(&["a.parquet"], json!({ "validation": 0.0 })).unwrap();
        assert_eq!(desk.texts(Split::Train), texts, "{kind}");
        let said = message(desk.corpus(&["a.parquet"], json!({ "text": "body" })));
        assert!(said.contains("no column of strings `body`"), "{said}");
    }
}

#[test]
fn documents_say_where_they_come_from() {
    let desk = Desk::with(&[("texts/a.txt", b"one\n\ntwo\nthree\n\n\nfour\n"), ("texts/sub/b.md", b"five")]);
    desk.corpus(&["texts"], json!({ "document": "paragraph", "validation": 0.0 })).unwrap();
    let found: Vec<_> = desk
        .documents(Split::Train)
        .into_iter()
        .map(|d| (d.text, d.meta["source"].as_str().unwrap().to_owned(), d.meta["line"].as_u64().unwrap()))
        .collect();
    let expected = [
        ("one", "texts/a.txt", 1),
        ("two\nthree", "texts/a.txt", 3),
        ("four", "texts/a.txt", 7),
        ("five", "texts/sub/b.md", 1),
    ];
    assert_eq!(found, expected.map(|(text, source, line)| (text.to_owned(), source.to_owned(), line)));
}

#[test]
fn several_keys_are_joined_and_meta_is_kept() {
    let line = r#"{"title":"静夜思","author":"李白","text":"床前明月光","meta":{"lang":"zh"}}"#;
    let desk = Desk::with(&[("a.jsonl", line.as_bytes())]);
    desk.corpus(&["*.jsonl"], json!({ "text": ["title", "author", "text"], "validation": 0.0 })).unwrap();
    let document = &desk.documents(Split::Train)[0];
    assert_eq!(document.text, "静夜思\n李白\n床前明月光");
    assert_eq!(document.meta["lang"], "zh");
}

#[test]
fn all_texts_of_a_record_are_read_and_letters_made_small() {
    let line = r#"{"n":1,"turns":[{"by":"Ann","says":"Hi"},{"says":"Ö"}],"end":"BYE","meta":{"lang":"de"}}"#;
    let desk = Desk::with(&[("a.jsonl", line.as_bytes())]);
    desk.corpus(&["*.jsonl"], json!({ "text": "*", "lowercase": true, "validation": 0.0 })).unwrap();
    assert_eq!(desk.texts(Split::Train), ["ann\nhi\n\u{f6}\nbye"]);
}

#[test]
fn the_first_of_equal_documents_stays_after_normalisation() {
    let desk = Desk::with(&[("b.txt", "cafe\u{301}\nx\n".as_bytes()), ("a.txt", "x\ncaf\u{e9}\ny\nx\n".as_bytes())]);
    let metrics = desk.corpus(&["b.txt", "a.txt"], json!({ "document": "line", "validation": 0.0 })).unwrap();
    assert_eq!(desk.texts(Split::Train), ["x", "caf\u{e9}", "y"]);
    assert_eq!((metrics["documents"].as_u64(), metrics["duplicates"].as_u64()), (Some(3), Some(3)));
    let listed = &desk.report()["duplicates_listed"];
    assert_eq!((&listed[0]["source"], &listed[0]["line"]), (&json!("a.txt"), &json!(4)));
    desk.corpus(&["b.txt"], json!({ "document": "line", "validation": 0.0, "normalization": "none" })).unwrap();
    assert_eq!(desk.texts(Split::Train)[0], "cafe\u{301}");
    desk.corpus(&["a.txt"], json!({ "document": "line", "validation": 0.0, "deduplicate": false })).unwrap();
    assert_eq!(desk.texts(Split::Train).len(), 4);
}

#[test]
fn pieces_put_together_are_the_file() {
    let text = "行 of the text\r\n\n一".repeat(500);
    let long_line = "墨".repeat(1_000);
    for whole in [text.clone() + &long_line, text, long_line] {
        let desk = Desk::with(&[("a.txt", whole.as_bytes())]);
        let settings = json!({
            "document": "piece", "max_document_bytes": 256, "split": "tail", "validation": 0.1,
            "normalization": "none", "deduplicate": false, "min_characters": 0,
        });
        desk.corpus(&["a.txt"], settings).unwrap();
        let pieces = [desk.texts(Split::Train), desk.texts(Split::Validation)].concat();
        assert!(pieces.iter().all(|piece| piece.len() <= 256) && pieces.len() > 10);
        assert!(!desk.texts(Split::Validation).is_empty());
        assert_eq!(pieces.concat(), whole);
    }
}

#[test]
fn long_records_are_cut_at_lines() {
    let desk = Desk::with(&[("a.jsonl", br#"{"text":"aaaaaaaaaa\nbbbbbbbbbb\ncccccccccc"}"#)]);
    desk.corpus(&["a.jsonl"], json!({ "max_document_bytes": 24, "validation": 0.0 })).unwrap();
    assert_eq!(desk.texts(Split::Train), ["aaaaaaaaaa\nbbbbbbbbbb\n", "cccccccccc"]);
    let documents = desk.documents(Split::Train);
    assert_ne!(documents[0].id, documents[1].id);
    assert_eq!(documents[1].meta["part"], 1);
}

#[test]
fn the_hash_split_follows_content_and_seed() {
    let lines: Vec<_> = (0..2_000).map(|n| format!("line {n}")).collect();
    let mut desk = Desk::with(&[("a.txt", lines.join("\n").as_bytes())]);
    let settings = json!({ "document": "line", "validation": 0.1 });
    desk.corpus(&["a.txt"], settings.clone()).unwrap();
    let (first, bytes) = (desk.texts(Split::Validation), desk.bytes("train.jsonl.zst"));
    assert!((140..260).contains(&first.len()), "{}", first.len());
    desk.corpus(&["a.txt"], settings.clone()).unwrap();
    assert_eq!(desk.bytes("train.jsonl.zst"), bytes);
    let mut backwards = lines.clone();
    backwards.reverse();
    desk.file("a.txt", backwards.join("\n").as_bytes());
    desk.corpus(&["a.txt"], settings.clone()).unwrap();
    let mut again = desk.texts(Split::Validation);
    again.reverse();
    assert_eq!(again, first);
    desk.seed = 8;
    desk.corpus(&["a.txt"], settings).unwrap();
    assert_ne!(desk.texts(Split::Validation), first);
}

#[test]
fn neither_split_of_a_small_corpus_is_empty() {
    let desk = Desk::with(&[("a.txt", b"one\ntwo\n"), ("b.txt", b"only\n")]);
    for split in ["hash", "tail"] {
        let settings = json!({ "document": "line", "split": split });
        let metrics = desk.corpus(&["a.txt"], settings.clone()).unwrap();
        assert_eq!((metrics["train_documents"].as_u64(), metrics["validation_documents"].as_u64()), (Some(1), Some(1)));
        desk.corpus(&["b.txt"], settings).unwrap();
        assert!(desk.listener.0.lock().unwrap().pop().unwrap().contains("validation split is empty"));
    }
}

#[test]
fn short_documents_are_counted() {
    let desk = Desk::with(&[("a.txt", "山\n\n  \n山水\n山水画\n".as_bytes())]);
    let metrics =
        desk.corpus(&["a.txt"], json!({ "document": "line", "min_characters": 2, "validation": 0.0 })).unwrap();
    assert_eq!(desk.texts(Split::Train), ["山水", "山水画"]);
    assert_eq!(metrics["short"], 3);
    assert_eq!((metrics["bytes"].as_u64(), metrics["characters"].as_u64()), (Some(15), Some(5)));
}

#[test]
fn sources_are_sorted_and_each_once() {
    let desk = Desk::with(&[("t/b.txt", b"b"), ("t/a.txt", b"a"), ("t/.hidden.txt", b"h"), ("t/x.png", b"x")]);
    let config = serde_json::from_value(json!({ "paths": ["t/*.txt", "t"] })).unwrap();
    let found = CorpusStage::sources(&config, desk.folder.path()).unwrap();
    assert_eq!(found, ["t/a.txt", "t/b.txt"].map(|name| desk.folder.path().join(name)));
}

#[test]
fn a_wish_to_stop_is_heard() {
    let desk = Desk::with(&[("a.txt", b"one\ntwo\n")]);
    desk.interrupt.request();
    let result = desk.corpus(&["a.txt"], json!({}));
    assert!(matches!(result, Err(inkstone_recipe::StageError::Interrupted)));
}

#[test]
fn a_world_gives_its_texts_and_its_instructions() {
    let text = br#"{"id":"t1","text":"Ada is a baker.","meta":{"lang":"en","kind":"story"}}"#;
    let chat = br#"{"messages":[{"role":"user","content":"Who is Ada?"},{"role":"assistant","content":"A baker."}]}"#;
    let mut desk = Desk::with(&[
        ("w/texts.en.jsonl", text.as_slice()),
        ("w/texts.zh.jsonl", "{\"text\":\"阿达是面包师。\"}".as_bytes()),
        ("w/instructions.en.jsonl", chat.as_slice()),
        ("w/facts.jsonl", b"{}"),
    ]);
    desk.give_world("w");
    desk.run::<CorpusStage>(json!({ "from": "w", "validation": 0.0 })).unwrap();
    let documents = desk.documents(Split::Train);
    assert_eq!(documents.iter().map(|d| d.text.as_str()).collect::<Vec<_>>(), ["Ada is a baker.", "阿达是面包师。"]);
    assert_eq!((&documents[0].meta["kind"], &documents[0].meta["source"]), (&json!("story"), &json!("texts.en.jsonl")));
    desk.run::<ChatStage>(json!({ "from": "w", "validation": 0.0 })).unwrap();
    assert_eq!(desk.conversations(Split::Train)[0].messages[1].content, "A baker.");
}

#[test]
fn the_size_is_foretold() {
    let sources = Forecast { metrics: BTreeMap::from([("bytes".to_owned(), 5000.0)]), ..Forecast::default() };
    let config = serde_json::from_value(json!({ "paths": ["a.txt"], "validation": 0.1 })).unwrap();
    let inputs = BTreeMap::from([(SOURCES.to_owned(), sources)]);
    let estimate = CorpusStage::estimate(&config, &inputs, &Machine::default());
    assert_eq!((estimate.metrics["bytes"], estimate.metrics["train_bytes"]), (5000.0, 4500.0));
    assert!(estimate.seconds.unwrap() > 0.0 && estimate.peak_bytes.unwrap() > 0);
}
