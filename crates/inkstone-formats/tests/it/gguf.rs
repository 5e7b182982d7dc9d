//! GGUF files: written, read, and read when damaged.

use std::fs;

use inkstone_formats::FormatError;
use inkstone_formats::gguf::{GgmlType, GgufFile, GgufLayout, GgufValue, GgufWriter};
use inkstone_formats::safetensors::f32_bytes;
use tempfile::{TempDir, tempdir};

fn metadata() -> Vec<(String, GgufValue)> {
    [
        ("general.architecture", GgufValue::String("llama".into())),
        ("llama.block_count", GgufValue::U32(2)),
        ("llama.attention.layer_norm_rms_epsilon", GgufValue::F32(1e-5)),
        ("tokenizer.ggml.tokens", GgufValue::strings(["a".to_owned(), "砚".to_owned()])),
        ("tokenizer.ggml.token_type", GgufValue::integers([1, 3])),
        ("tokenizer.ggml.scores", GgufValue::floats([0.5, -1.0])),
        ("tokenizer.ggml.add_bos_token", GgufValue::Bool(true)),
        ("all.widths", GgufValue::U64(1 << 40)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .to_vec()
}

fn file() -> (TempDir, std::path::PathBuf) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let q8_0 = GgmlType::from_name("q8_0").unwrap();
    let layout = [
        GgufLayout { name: "output_norm.weight".into(), kind: GgmlType::F32, shape: vec![3] },
        GgufLayout { name: "token_embd.weight".into(), kind: q8_0, shape: vec![2, 64] },
    ];
    let mut writer = GgufWriter::create(&path, &metadata(), &layout).unwrap();
    writer.write("token_embd.weight", &(0..136).collect::<Vec<u8>>()).unwrap();
    writer.write("output_norm.weight", f32_bytes(&[1.0, 2.0, 3.0])).unwrap();
    writer.finish().unwrap();
    (folder, path)
}

#[test]
fn what_is_written_is_read() {
    let (_folder, path) = file();
    let file = GgufFile::open(&path).unwrap();
    let expected: std::collections::BTreeMap<_, _> = metadata().into_iter().collect();
    assert_eq!(file.metadata(), &expected);
    assert_eq!(file.names().collect::<Vec<_>>(), ["output_norm.weight", "token_embd.weight"]);
    let table = file.tensor("token_embd.weight").unwrap();
    assert_eq!((table.kind.name, table.shape), ("q8_0", [2, 64].as_slice()));
    assert_eq!(table.bytes, (0..136).collect::<Vec<u8>>());
    assert_eq!(table.plain(), None);
    assert_eq!(file.tensor("output_norm.weight").unwrap().plain().unwrap(), [1.0, 2.0, 3.0]);
    let error = file.tensor("token_embd").unwrap_err();
    assert!(
        matches!(&error, FormatError::TensorNotFound { nearest: Some(name), .. } if name == "token_embd.weight"),
        "{error}"
    );
}

/// A part of a whole with one tensor.
fn part(folder: &std::path::Path, number: u16, name: &str, says: u16) -> std::path::PathBuf {
    let path = folder.join(format!("model-{:05}-of-00002.gguf", number + 1));
    let entries = [("split.no", GgufValue::U16(says)), ("split.count", GgufValue::U16(2))];
    let entries = entries.map(|(key, value)| (key.to_owned(), value));
    let layout = [GgufLayout { name: name.into(), kind: GgmlType::F32, shape: vec![2] }];
    let mut writer = GgufWriter::create(&path, &entries, &layout).unwrap();
    writer.write(name, f32_bytes(&[f32::from(number), 5.0])).unwrap();
    writer.finish().unwrap();
    path
}

#[test]
fn a_file_in_parts_is_opened_by_its_first() {
    let folder = tempdir().unwrap();
    let first = part(folder.path(), 0, "a.weight", 0);
    assert!(matches!(GgufFile::open(&first), Err(FormatError::Io { .. })), "the second part is missing");
    let second = part(folder.path(), 1, "b.weight", 1);
    let whole = GgufFile::open(&first).unwrap();
    assert_eq!(whole.names().collect::<Vec<_>>(), ["a.weight", "b.weight"]);
    assert_eq!(whole.tensor("b.weight").unwrap().plain().unwrap(), [1.0, 5.0]);
    assert!(GgufFile::open(&second).unwrap_err().to_string().contains("part 2 of 2: open the first one"));
    part(folder.path(), 1, "a.weight", 1);
    assert!(GgufFile::open(&first).unwrap_err().to_string().contains("in another part"));
    part(folder.path(), 1, "b.weight", 0);
    assert!(GgufFile::open(&first).unwrap_err().to_string().contains("expected part 2 of 2"));
    let renamed = folder.path().join("model.gguf");
    fs::rename(&first, &renamed).unwrap();
    assert!(GgufFile::open(&renamed).unwrap_err().to_string().contains("-00001-of-00002.gguf"));
}

#[test]
fn a_file_of_the_gguf_package_is_read() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/quantised/tiny.gguf");
    let file = GgufFile::open(&path).unwrap();
    assert_eq!(file.get("general.architecture").and_then(GgufValue::as_str), Some("llama"));
    assert_eq!(file.get("llama.context_length").and_then(GgufValue::as_u64), Some(128));
    let tokens = file.get("tokenizer.ggml.tokens").and_then(GgufValue::as_array).unwrap();
    assert_eq!(tokens.iter().filter_map(GgufValue::as_str).collect::<Vec<_>>(), ["<s>", "墨", "ink"]);
    let norm = file.tensor("output_norm.weight").unwrap();
    assert_eq!((norm.shape, norm.plain().unwrap()), ([4].as_slice(), vec![0.0, 1.0, 2.0, 3.0]));
    let table = file.tensor("token_embd.weight").unwrap();
    assert_eq!((table.kind.name, table.shape, table.bytes.len()), ("q8_0", [3, 32].as_slice(), 3 * 34));
}

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let (_folder, path) = file();
    let good = fs::read(&path).unwrap();
    // The last tensor is padded: 136 bytes of 160.
    for length in 0..good.len() - 24 {
        fs::write(&path, &good[..length]).unwrap();
        assert!(GgufFile::open(&path).is_err(), "{length}");
    }
}

#[test]
fn any_flipped_bit_is_read_or_refused() {
    let (_folder, path) = file();
    let good = fs::read(&path).unwrap();
    for bit in (0..good.len() * 8).step_by(5) {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, bad).unwrap();
        if let Ok(file) = GgufFile::open(&path) {
            for name in file.names() {
                assert!(file.tensor(name).unwrap().bytes.len() <= good.len());
            }
        }
    }
}

#[test]
fn a_misfit_is_refused_by_name() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let layout = |shape: &[usize]| GgufLayout {
        name: "w".into(),
        kind: GgmlType::from_name("q4_k").unwrap(),
        shape: shape.to_vec(),
    };
    assert!(GgufWriter::create(&path, &[], &[layout(&[2, 100])]).is_err_and(|e| e.to_string().contains("`w`")));
    assert!(GgufWriter::create(&path, &[], &[layout(&[256]), layout(&[256])]).is_err());
    let mut writer = GgufWriter::create(&path, &[], &[layout(&[256])]).unwrap();
    assert!(writer.write("v", &[]).is_err());
    assert!(writer.write("w", &[0; 143]).is_err_and(|e| e.to_string().contains("144 bytes")));
    let writer = GgufWriter::create(&path, &[], &[layout(&[256])]).unwrap();
    assert!(writer.finish().is_err());
    assert!(!path.exists());
}
