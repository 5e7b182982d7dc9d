//! Texts, conversations, token shards.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use inkstone_corpus::chat::parse_record;
use inkstone_corpus::preferences::parse_preference;
use inkstone_corpus::read::{Content, Format, Place, ReadOptions, Sink, Unit, read_records};
use inkstone_corpus::shards::{ShardOptions, ShardWriter, TokenShard};
use inkstone_corpus::{CorpusError, CorpusStage, DocumentId, Split};
use inkstone_recipe::{Context, Interrupt, Silent, Stage};
use parquet::arrow::ArrowWriter;
use serde_json::json;

use super::{Target, in_folder};

pub(crate) const JSONL: Target = Target {
    name: "jsonl",
    run: |data| read(data, Format::Jsonl),
    seeds: || {
        vec![
            "{\"text\":\"one\"}\n{\"text\":\"二 😀\",\"n\":[1,2.5e3,null]}\r\n\n{\"text\":\"\\u4e09\\ud83d\\ude00\"}"
                .into(),
        ]
    },
};

pub(crate) const PREFERENCES: Target = Target {
    name: "preferences",
    run: |data| {
        if let Ok(value) = serde_json::from_slice(data) {
            let _ = parse_preference(&value);
        }
    },
    seeds: || {
        vec![
            json!({"prompt": "q", "chosen": "a", "rejected": "b", "margin": 0.5}).to_string().into(),
            json!({"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"}).to_string().into(),
            json!({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "label": true})
                .to_string()
                .into(),
        ]
    },
};

pub(crate) const JSON: Target = Target {
    name: "json",
    run: |data| read(data, Format::Json),
    seeds: || vec!["[{\"text\": \"one\"},\n {\"text\": \"二\"}]".into(), "{\"a\": 1}\n{\"a\": {}}".into()],
};

pub(crate) const CSV: Target = Target {
    name: "csv",
    run: |data| {
        read(data, Format::Csv);
        read(data, Format::Tsv);
    },
    seeds: || vec!["text,label\n\"a, \"\"quoted\"\"\nline\",1\n二,\r\n".into(), "text\tlabel\na\tb\n".into()],
};

pub(crate) const TEXT: Target = Target {
    name: "text",
    run: |data| {
        for unit in [Unit::File, Unit::Paragraph, Unit::Line, Unit::Piece] {
            read_as(data, Format::Text, unit);
        }
    },
    seeds: || {
        vec!["First line.\n\n第二段，😀 e\u{301}\r\nlast".into(), "\u{feff}no end of line, but a long one".into()]
    },
};

pub(crate) const PARQUET: Target =
    Target { name: "parquet", run: |data| stage(data, "texts.parquet"), seeds: || vec![parquet()] };

pub(crate) const COMPRESSED: Target = Target {
    name: "compressed",
    run: |data| {
        stage(data, "texts.txt.gz");
        stage(data, "texts.jsonl.zst");
    },
    // An empty gzip member, and an empty zstd frame.
    seeds: || {
        let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        vec![gzip.to_vec(), vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0]]
    },
};

pub(crate) const CHAT: Target = Target {
    name: "chat",
    run: |data| {
        let Ok(value) = serde_json::from_slice(data) else { return };
        if let Ok(messages) = parse_record(&value) {
            assert!(!messages.is_empty());
        }
    },
    seeds: || {
        let messages = json!([{"role": "system", "content": "s"}, {"role": "user", "content": "谁"}, {"role": "assistant", "content": "a"}]);
        let turns = json!([{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]);
        let records = [
            json!({"messages": messages}),
            json!({"conversations": turns, "system": "s"}),
            json!({"instruction": "i", "input": "", "output": "o", "history": [["q", "a"]]}),
            json!({"prompt": "p", "completion": "c"}),
        ];
        records.iter().map(|record| record.to_string().into_bytes()).collect()
    },
};

pub(crate) const SHARD_HEADER: Target = Target {
    name: "shard_header",
    run: |data| shard("tokens.json", data),
    seeds: || vec![file_of_shard("tokens.json")],
};

pub(crate) const SHARD_INDEX: Target = Target {
    name: "shard_index",
    run: |data| shard("train.index", data),
    seeds: || vec![file_of_shard("train.index")],
};

/// Counts what is found, and gives up after many bad records as the stages do.
#[derive(Default)]
struct Count {
    good: usize,
    bad: usize,
}

impl Sink for Count {
    fn record(&mut self, _place: Place, _content: Content<'_>) -> Result<(), CorpusError> {
        self.good += 1;
        Ok(())
    }

    fn bad(&mut self, _place: Place, reason: String) -> Result<(), CorpusError> {
        assert!(!reason.is_empty());
        self.bad += 1;
        Ok(())
    }
}

fn read(data: &[u8], format: Format) {
    read_as(data, format, Unit::File);
}

fn read_as(mut data: &[u8], format: Format, unit: Unit) {
    let options = ReadOptions { path: Path::new("fuzz"), format, unit, max_document_bytes: 16 };
    let mut count = Count::default();
    let length = data.len();
    drop(read_records(&mut data, &options, &mut count));
    assert!(count.good + count.bad <= length + 1);
}

/// The whole stage over one file.
fn stage(data: &[u8], name: &str) {
    in_folder(name, data, |folder| {
        let config = serde_json::from_value(json!({"paths": [name], "validation": 0.5})).expect("a good config");
        let (out, state) = (folder.join("out"), folder.join("state"));
        fs::create_dir_all(&out).and_then(|()| fs::create_dir_all(&state)).expect("a temporary folder");
        let interrupt = Interrupt::default();
        let context = Context::new((out, state), BTreeMap::new(), 1, folder.to_owned(), (&Silent, &interrupt));
        drop(CorpusStage::run(&config, &context));
    });
}

fn parquet() -> Vec<u8> {
    let column: ArrayRef = Arc::new(StringArray::from(vec![Some("one"), None, Some("三 😀")]));
    let batch = RecordBatch::try_from_iter([("text", column)]).expect("one column");
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("memory");
    writer.close().expect("memory");
    bytes
}

fn good_shard(folder: &Path) {
    let options = ShardOptions { vocab_size: 300, masked: true };
    let mut writer = ShardWriter::create(folder, Split::Train, options).expect("room for a small shard");
    writer.push(DocumentId(1), &[1, 2, 299], Some(&[false, true, true])).expect("good tokens");
    writer.push(DocumentId(2), &[4], None).expect("good tokens");
    writer.finish().expect("room for a small shard");
}

fn file_of_shard(name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    good_shard(folder.path());
    fs::read(folder.path().join(name)).expect("a file of the shard")
}

/// Opens a good shard in which one file is replaced, and touches all of it.
fn shard(name: &str, data: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    good_shard(folder.path());
    fs::write(folder.path().join(name), data).expect("room for a small file");
    let Ok(shard) = TokenShard::open(folder.path(), Split::Train) else { return };
    drop(shard.check());
    for number in 0..shard.n_documents() {
        let document = shard.document(number);
        assert!(document.n_tokens() <= shard.n_tokens());
    }
    assert_eq!(shard.tokens(0..shard.n_tokens()).count() as u64, shard.n_tokens());
    assert!(shard.n_tokens() == 0 || shard.trace(0).is_some());
}
