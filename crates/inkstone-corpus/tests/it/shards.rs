//! Token shards: written, mapped, traced, and found out when damaged.

use std::path::Path;

use inkstone_corpus::shards::{ShardOptions, ShardSummary, ShardWriter, TokenShard};
use inkstone_corpus::{CorpusError, DocumentId, Split};
use tempfile::TempDir;

pub(crate) fn write(
    folder: &Path,
    vocab_size: usize,
    documents: &[Vec<u32>],
    masks: Option<&[Vec<bool>]>,
) -> ShardSummary {
    let options = ShardOptions { vocab_size, masked: masks.is_some() };
    let mut writer = ShardWriter::create(folder, Split::Train, options).unwrap();
    for (number, ids) in documents.iter().enumerate() {
        writer.push(DocumentId(number as u128), ids, masks.map(|masks| masks[number].as_slice())).unwrap();
    }
    writer.finish().unwrap()
}

fn sample(vocab_size: usize) -> (TempDir, Vec<Vec<u32>>) {
    let folder = tempfile::tempdir().unwrap();
    let documents = vec![vec![], vec![1, 2, 3], vec![], vec![vocab_size as u32 - 1], vec![4, 5], vec![]];
    let masks: Vec<_> = documents.iter().map(|ids| ids.iter().map(|id| id % 2 == 0).collect()).collect();
    write(folder.path(), vocab_size, &documents, Some(&masks));
    (folder, documents)
}

#[test]
fn what_was_written_is_read_and_traced() {
    for (vocab_size, width) in [(1 << 16, 2), ((1 << 16) + 1, 4)] {
        let (folder, documents) = sample(vocab_size);
        assert_eq!(std::fs::metadata(folder.path().join("train.tokens")).unwrap().len(), 6 * width);
        let shard = TokenShard::open(folder.path(), Split::Train).unwrap();
        shard.check().unwrap();
        assert_eq!((shard.n_tokens(), shard.n_documents(), shard.vocab_size()), (6, 6, vocab_size));
        for (number, ids) in documents.iter().enumerate() {
            let document = shard.document(number);
            assert_eq!(document.id, DocumentId(number as u128));
            assert!(shard.tokens(document.range).eq(ids.iter().copied()));
        }
        let traced: Vec<_> = (0..6).map(|token| shard.trace(token).unwrap().0).collect();
        assert_eq!(traced, [1, 1, 1, 3, 4, 4]);
        assert_eq!(shard.trace(6), None);
        assert_eq!((0..3).map(|token| shard.is_learnt(token)).collect::<Vec<_>>(), [false, true, false]);
    }
}

#[test]
fn two_splits_share_a_header() {
    let (folder, _) = sample(100);
    let other = |vocab_size| {
        let mut writer =
            ShardWriter::create(folder.path(), Split::Validation, ShardOptions { vocab_size, masked: false }).unwrap();
        writer.push(DocumentId(1), &[7], None).unwrap();
        writer.finish()
    };
    assert!(other(99).unwrap_err().to_string().contains("vocabulary of the other split"));
    assert_eq!(other(100).unwrap().tokens, 1);
    assert_eq!(TokenShard::open(folder.path(), Split::Train).unwrap().n_tokens(), 6);
    assert_eq!(TokenShard::open(folder.path(), Split::Validation).unwrap().n_tokens(), 1);
}

#[test]
fn a_shard_stands_in_its_place_only_when_finished() {
    let folder = tempfile::tempdir().unwrap();
    let options = ShardOptions { vocab_size: 10, masked: false };
    let mut writer = ShardWriter::create(folder.path(), Split::Train, options).unwrap();
    writer.push(DocumentId(1), &[1], None).unwrap();
    assert!(!folder.path().join("train.tokens").exists());
    assert!(matches!(TokenShard::open(folder.path(), Split::Train), Err(CorpusError::NotFound { .. })));
    assert!(matches!(writer.push(DocumentId(2), &[10], None), Err(CorpusError::TokenRange { id: 10, .. })));
    assert!(matches!(writer.push(DocumentId(2), &[1], Some(&[true])), Err(CorpusError::Shard { .. })));
}

#[test]
fn truncated_files_are_named() {
    for name in ["train.tokens", "train.index", "train.mask"] {
        let (folder, _) = sample(100);
        let path = folder.path().join(name);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let Err(error) = TokenShard::open(folder.path(), Split::Train) else { panic!("{name} was taken") };
        assert!(error.to_string().contains(name) && error.to_string().contains("size in bytes"), "{error}");
    }
}

#[test]
fn every_flipped_bit_is_found() {
    for name in ["train.tokens", "train.index", "train.mask"] {
        let (folder, _) = sample(100);
        let path = folder.path().join(name);
        let good = std::fs::read(&path).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bad).unwrap();
            let found = TokenShard::open(folder.path(), Split::Train).and_then(|shard| shard.check());
            assert!(found.unwrap_err().to_string().contains(name), "{name} bit {bit}");
        }
    }
}

#[test]
fn broken_headers_are_errors() {
    let (folder, _) = sample(100);
    let path = folder.path().join("tokens.json");
    let good = std::fs::read_to_string(&path).unwrap();
    let cases = [
        (good.replace("\"format\": 1", "\"format\": 2"), "newer program"),
        (good.replace("\"token_bytes\": 2", "\"token_bytes\": 4"), "bytes of a token"),
        (good.replace("\"tokens\": 6", "\"tokens\": 18446744073709551615"), "size in bytes"),
        (good[..good.len() / 2].to_owned(), "tokens.json"),
        (good.replace("\"train\"", "\"validation\""), "expected train"),
    ];
    for (text, expected) in cases {
        std::fs::write(&path, text).unwrap();
        let Err(error) = TokenShard::open(folder.path(), Split::Train) else { panic!("{expected}: taken") };
        assert!(error.to_string().contains(expected), "{error}");
    }
}
