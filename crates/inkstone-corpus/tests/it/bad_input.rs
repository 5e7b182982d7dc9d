//! What users get wrong, and what they are told.

use inkstone_corpus::{ChatStage, CorpusStage, Split};
use inkstone_recipe::{Stage, StageError};
use serde_json::{Value, json};

use crate::support::{Desk, message};

#[test]
fn missing_files_and_folders_are_named() {
    let desk = Desk::with(&[("empty/x.png", b"")]);
    let missing = desk.corpus(&["no-such.txt"], json!({}));
    let Err(StageError::Failed { message: said, hint, .. }) = missing else { panic!("not an error") };
    assert!(said.contains("no-such.txt") && said.contains("no such file"), "{said}");
    assert!(hint.unwrap().contains("folder of the recipe"));
    assert!(message(desk.corpus(&["*.txt"], json!({}))).contains("`*.txt` matches no file"));
    assert!(message(desk.corpus(&["empty"], json!({}))).contains("`empty` matches no file"));
    assert!(message(desk.corpus(&["a[.txt"], json!({}))).contains("not a valid pattern"));
}

#[test]
fn nothing_to_read_or_nothing_left() {
    let desk = Desk::with(&[("a.txt", b""), ("b.txt", b" \n\n"), ("c.json", b""), ("d.csv", b"")]);
    for name in ["a.txt", "c.json", "d.csv"] {
        assert!(message(desk.corpus(&[name], json!({}))).contains("the corpus is empty"), "{name}");
    }
    assert!(message(desk.corpus(&["b.txt"], json!({}))).contains("nothing of the corpus is left"));
}

#[test]
fn bad_records_are_reported_up_to_the_limit() {
    let lines = b"{\"text\":\"good\"}\n{\"text\":\"cut in the mi\n{\"title\":\"no text\"}\n{\"text\":7}\n{\"text\":\"\xff\"}\n[1]\n\n{\"text\":\"fine\"}\n";
    let desk = Desk::with(&[("a.jsonl", lines)]);
    let metrics = desk.corpus(&["a.jsonl"], json!({ "max_bad_records": 5, "validation": 0.0 })).unwrap();
    assert_eq!(desk.texts(Split::Train), ["good", "fine"]);
    assert_eq!(metrics["bad_records"], 5);
    let report = desk.report();
    let bad: Vec<_> = report["bad_records"].as_array().unwrap().iter().map(reason).collect();
    let expected = [
        (2, "the record is cut off"),
        (3, "there is no key `text`; the record has `title`"),
        (4, "`text` is not a string but a number"),
        (5, "not UTF-8: byte 0xFF at column 10"),
        (6, "not an object"),
    ];
    for ((line, said), (expected_line, expected)) in bad.iter().zip(expected) {
        assert!(*line == expected_line && said.contains(expected), "{line}: {said}");
    }
    assert!(desk.listener.0.lock().unwrap()[0].starts_with("a.jsonl:2: the record is cut off"));
    let said = message(desk.corpus(&["a.jsonl"], json!({ "max_bad_records": 4 })));
    assert!(said.contains("a.jsonl:6:") && said.contains("`max_bad_records` is 4"), "{said}");
}

fn reason(bad: &Value) -> (u64, String) {
    (bad["line"].as_u64().unwrap(), bad["reason"].as_str().unwrap().to_owned())
}

#[test]
fn a_wrong_byte_costs_its_line_only() {
    let desk = Desk::with(&[("a.txt", b"one\ntw\xc3o\nthree\n")]);
    desk.corpus(&["a.txt"], json!({ "validation": 0.0 })).unwrap();
    assert_eq!(desk.texts(Split::Train), ["one\nthree\n"]);
    assert_eq!(reason(&desk.report()["bad_records"][0]), (2, "not UTF-8: byte 0xC3 at column 3".to_owned()));
}

#[test]
fn other_encodings_are_named_with_the_way_out() {
    let gbk = b"\xc9\xbd\xd6\xd0\xba\xce\xcb\xf9\xd3\xd0\xa3\xac\xc1\xeb\xc9\xcf\xb6\xe0\xb0\xd7\xd4\xc6\n";
    let utf16: Vec<u8> = "\u{feff}山中何所有".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, name) in [(gbk.as_slice(), "GB18030"), (&utf16, "UTF-16")] {
        let desk = Desk::with(&[("a.txt", bytes)]);
        let Err(StageError::Failed { message, hint, .. }) = desk.corpus(&["a.txt"], json!({})) else {
            panic!("not an error")
        };
        assert!(message.contains("a.txt") && message.contains(name), "{message}");
        assert!(hint.unwrap().contains(&format!("iconv -f {name} -t UTF-8")));
    }
}

#[test]
fn broken_containers_are_errors_with_a_place() {
    let packed = zstd::encode_all([b'x'; 10_000].as_slice(), 1).unwrap();
    let files: [(&str, &[u8], &str); 6] = [
        ("a.json", b"[{\"text\":\"a\"},\n{\"text\":\"b\"", "a.json:2"),
        ("b.json", b"[{\"text\":\"a\"},\n nonsense]", "b.json:2"),
        ("c.txt.zst", &packed[..packed.len() / 2], "c.txt.zst"),
        ("d.txt.gz", b"not gzip", "d.txt.gz"),
        ("e.parquet", b"PAR1 not really PAR1", "e.parquet"),
        ("f.csv", b"te\xffxt\na\n", "f.csv:1"),
    ];
    for (name, bytes, place) in files {
        let desk = Desk::with(&[(name, bytes)]);
        let said = message(desk.corpus(&[name], json!({})));
        assert!(said.contains(place), "{name}: {said}");
    }
}

#[test]
fn rows_of_another_length_are_bad() {
    let desk = Desk::with(&[("a.csv", b"text,n\none,1\ntwo\n\"three, and\nmore\",3\nfour,4,4\n")]);
    desk.corpus(&["a.csv"], json!({ "validation": 0.0 })).unwrap();
    assert_eq!(desk.texts(Split::Train), ["one", "three, and\nmore"]);
    let report = desk.report();
    assert_eq!(reason(&report["bad_records"][0]), (3, "1 fields, where the header has 2".to_owned()));
    assert_eq!(reason(&report["bad_records"][1]).0, 6);
}

#[test]
fn endless_lines_stay_within_bounds() {
    let mut line = b"{\"text\":\"".to_vec();
    line.resize(65 << 20, b'x');
    line.extend_from_slice(b"\"}\n{\"text\":\"fine\"}\n");
    let desk = Desk::with(&[("a.jsonl", &line), ("a.json", &line)]);
    desk.corpus(&["a.jsonl"], json!({ "validation": 0.0 })).unwrap();
    assert_eq!(desk.texts(Split::Train), ["fine"]);
    assert!(desk.report()["bad_records"][0]["reason"].as_str().unwrap().contains("longer than 64 MiB"));
    assert!(message(desk.corpus(&["a.json"], json!({}))).contains("longer than 64 MiB"));
}

#[test]
fn configs_that_cannot_work() {
    let said = |config: Value| CorpusStage::validate(&serde_json::from_value(config).unwrap()).unwrap_err();
    assert!(said(json!({})).starts_with("`paths`"));
    assert!(said(json!({ "paths": ["a"], "from": "world" })).starts_with("`paths`"));
    assert!(said(json!({ "paths": ["a"], "validation": 0.9 })).starts_with("`validation`"));
    assert!(said(json!({ "paths": ["a"], "text": [] })).starts_with("`text`"));
    assert!(said(json!({ "paths": ["a"], "max_document_bytes": 1 })).starts_with("`max_document_bytes`"));
    let chat = ChatStage::validate(&serde_json::from_value(json!({ "paths": ["a"], "format": "text" })).unwrap());
    assert!(chat.unwrap_err().starts_with("`format`"));
}
