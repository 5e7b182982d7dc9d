//! Every truncation and every flipped bit of small files: read, or refused with words, never a panic.

use std::fs;
use std::path::Path;

use inkstone_formats::FormatError;
use inkstone_formats::hf::{ModelFolder, write_model};
use inkstone_formats::safetensors::{TensorFile, TensorView};
use inkstone_formats::tensorboard::{EventFileName, EventWriter, read_events};
use serde_json::json;
use tempfile::{TempDir, tempdir};

fn model(max_shard_bytes: u64) -> TempDir {
    let folder = tempdir().unwrap();
    let tensors = [
        ("a".to_owned(), TensorView::f32(&[2, 2], &[1.0, 2.0, 3.0, 4.0])),
        ("b".to_owned(), TensorView::f32(&[1], &[5.0])),
    ];
    write_model(folder.path(), &json!({"model_type": "llama"}), None, &tensors, max_shard_bytes).unwrap();
    folder
}

/// Calls `each` for every file that differs from `path` by one bit, in the way the first `limit` bytes can.
fn flips(path: &Path, limit: usize, mut each: impl FnMut(usize)) {
    let good = fs::read(path).unwrap();
    for bit in 0..good.len().min(limit) * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(path, bad).unwrap();
        each(bit);
    }
    fs::write(path, good).unwrap();
}

/// Calls `each` for every file that is a proper beginning of `path`.
fn truncations(path: &Path, mut each: impl FnMut(usize)) {
    let good = fs::read(path).unwrap();
    for length in 0..good.len() {
        fs::write(path, &good[..length]).unwrap();
        each(length);
    }
    fs::write(path, good).unwrap();
}

/// Touches everything that a reader can touch.
fn read_all(path: &Path) -> Result<usize, FormatError> {
    let file = TensorFile::open(path)?;
    Ok(file.tensors().map(|(name, tensor)| tensor.bytes.len() + file.f32(name).map_or(0, |n| n.len())).sum())
}

#[test]
fn a_truncated_safetensors_file_is_refused_at_every_length() {
    let folder = model(u64::MAX);
    let path = folder.path().join("model.safetensors");
    truncations(&path, |length| {
        let error = read_all(&path).unwrap_err();
        assert!(matches!(error, FormatError::Length { got, .. } if got == length as u64), "{length}: {error}");
    });
    assert!(read_all(&path).is_ok());
}

#[test]
fn a_flipped_bit_in_a_safetensors_header_never_panics() {
    let folder = model(u64::MAX);
    let path = folder.path().join("model.safetensors");
    let mut refused = 0;
    flips(&path, 8 + 160, |_| refused += usize::from(read_all(&path).is_err()));
    assert!(refused > 500, "{refused} were refused");
}

#[test]
fn a_damaged_index_never_panics() {
    let folder = model(16);
    let path = folder.path().join("model.safetensors.index.json");
    let read = || ModelFolder::open(folder.path()).map(|model| model.tensors().count());
    truncations(&path, |_| drop(read()));
    flips(&path, usize::MAX, |_| drop(read()));
    assert_eq!(read().unwrap(), 2);
}

#[test]
fn a_damaged_config_never_panics() {
    let folder = model(u64::MAX);
    let path = folder.path().join("config.json");
    let whole = fs::read(&path).unwrap().len() - 1;
    truncations(&path, |length| assert_eq!(ModelFolder::read_config(folder.path()).is_ok(), length == whole));
    flips(&path, usize::MAX, |_| drop(ModelFolder::read_config(folder.path())));
}

#[test]
fn every_flipped_bit_of_an_event_file_is_found() {
    let folder = tempdir().unwrap();
    let name = EventFileName { seconds: 1, host: "h".into(), process: 1 };
    let mut writer = EventWriter::create_named(folder.path(), &name).unwrap();
    writer.scalars_at(300, 2.0, &[("train/loss", 1.0)]).unwrap();
    writer.flush().unwrap();
    let path = writer.path().to_owned();
    flips(&path, usize::MAX, |bit| {
        let log = read_events(&path).unwrap();
        assert!(log.damage.is_some(), "bit {bit}");
        assert_eq!(log.events.len(), usize::from(bit >= 40 * 8));
    });
    truncations(&path, |length| {
        let log = read_events(&path).unwrap();
        assert_eq!(log.damage.is_some(), length != 0 && length != 40, "{length}");
    });
    assert_eq!(read_events(&path).unwrap().events[1].step, 300);
}
