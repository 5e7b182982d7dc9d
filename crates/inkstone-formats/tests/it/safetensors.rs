//! Single files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use inkstone_formats::FormatError;
use inkstone_formats::safetensors::{
    Dtype, TensorFile, TensorLayout, TensorView, TensorWriter, f32_bytes, write_tensors,
};
use proptest::prelude::*;
use tempfile::tempdir;

/// A file with this JSON header and so many bytes of numbers.
fn raw(path: &Path, header: &str, data: usize) {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    fs::write(path, bytes).unwrap();
}

fn open_raw(header: &str, data: usize) -> FormatError {
    let folder = tempdir().unwrap();
    let path = folder.path().join("raw.safetensors");
    raw(&path, header, data);
    TensorFile::open(&path).unwrap_err()
}

#[test]
fn types_of_numbers_and_names_survive() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let half = half::f16::from_f32(0.5).to_le_bytes();
    let brain = [half::bf16::from_f32(-3.0); 3].map(half::bf16::to_le_bytes).concat();
    let tensors = [
        ("墨".to_owned(), TensorView::f32(&[2, 1], &[1.5, f32::NEG_INFINITY])),
        ("half".to_owned(), TensorView { dtype: Dtype::F16, shape: &[1], bytes: &half }),
        ("brain".to_owned(), TensorView { dtype: Dtype::BF16, shape: &[3], bytes: &brain }),
        ("none".to_owned(), TensorView::f32(&[0, 7], &[])),
        ("scalar".to_owned(), TensorView::f32(&[], &[9.0])),
    ];
    write_tensors(&path, &tensors, &[("format", "pt"), ("by", "us")]).unwrap();

    let file = TensorFile::open(&path).unwrap();
    let metadata = BTreeMap::from([("format", "pt"), ("by", "us")].map(|(key, value)| (key.into(), value.into())));
    assert_eq!(file.metadata(), &metadata);
    assert_eq!(file.names().collect::<Vec<_>>(), ["brain", "half", "none", "scalar", "墨"]);
    assert_eq!(file.f32("墨").unwrap(), [1.5, f32::NEG_INFINITY]);
    assert_eq!(file.f32("half").unwrap(), [0.5]);
    assert_eq!(file.f32("brain").unwrap(), [-3.0; 3]);
    assert_eq!(file.f32("none").unwrap(), [0.0; 0]);
    assert_eq!(file.f32("scalar").unwrap(), [9.0]);
    assert_eq!(file.tensor("墨").unwrap().shape, [2, 1]);
}

#[test]
fn the_format_library_reads_it_and_lays_it_out_alike() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let numbers = [1.0, 2.0, 3.0];
    let tensors = [
        ("b".to_owned(), TensorView::f32(&[3], &numbers)),
        ("a".to_owned(), TensorView { dtype: Dtype::U8, shape: &[3], bytes: &[1, 2, 3] }),
        ("c".to_owned(), TensorView::f32(&[1, 3], &numbers)),
    ];
    write_tensors(&path, &tensors, &[]).unwrap();
    let theirs = tensors.iter().map(|(name, view)| {
        (name, safetensors::tensor::TensorView::new(view.dtype, view.shape.to_vec(), view.bytes).unwrap())
    });
    assert_eq!(fs::read(&path).unwrap(), safetensors::serialize(theirs, None).unwrap());
}

#[test]
fn order_of_writing_decides_nothing() {
    let folder = tempdir().unwrap();
    let (one, two) = (folder.path().join("1"), folder.path().join("2"));
    let layout = [TensorLayout::f32("a", &[1]), TensorLayout::f32("b", &[2])];
    let reversed = [layout[1].clone(), layout[0].clone()];
    for (path, layout, first) in [(&one, &layout, "a"), (&two, &reversed, "b")] {
        let mut writer = TensorWriter::create(path, layout, &[]).unwrap();
        let second = if first == "a" { "b" } else { "a" };
        for name in [first, second] {
            let numbers: &[f32] = if name == "a" { &[1.0] } else { &[2.0, 3.0] };
            writer.write(name, f32_bytes(numbers)).unwrap();
        }
        writer.finish().unwrap();
    }
    assert_eq!(fs::read(one).unwrap(), fs::read(two).unwrap());
}

#[test]
fn an_unfinished_file_never_appears() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    fs::write(&path, "the one before").unwrap();
    let layout = [TensorLayout::f32("a", &[1]), TensorLayout::f32("b", &[1])];

    let mut writer = TensorWriter::create(&path, &layout, &[]).unwrap();
    writer.write("a", f32_bytes(&[1.0])).unwrap();
    let message = writer.finish().unwrap_err().to_string();
    assert!(message.contains("`b`"), "{message}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "the one before");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_writer_refuses_what_the_layout_does_not_hold() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let layout = [TensorLayout::f32("a", &[2])];
    let mut writer = TensorWriter::create(&path, &layout, &[]).unwrap();
    assert!(matches!(writer.write("x", &[]), Err(FormatError::Tensor { tensor, .. }) if tensor == "x"));
    assert!(matches!(writer.write("a", &[0; 4]), Err(FormatError::Tensor { expected, .. }) if expected == "8 bytes"));

    for names in [["a", "a"], ["a", "__metadata__"]] {
        let layout = names.map(|name| TensorLayout::f32(name, &[1]));
        assert!(matches!(TensorWriter::create(&path, &layout, &[]), Err(FormatError::Tensor { .. })));
    }
    let layout = [TensorLayout::f32("huge", &[usize::MAX, 2])];
    assert!(matches!(TensorWriter::create(&path, &layout, &[]), Err(FormatError::Tensor { .. })));
}

#[test]
fn a_missing_tensor_is_named_with_its_nearest() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let tensors = [("model.norm.weight".to_owned(), TensorView::f32(&[1], &[0.0]))];
    write_tensors(&path, &tensors, &[]).unwrap();
    let message = TensorFile::open(&path).unwrap().tensor("model.norm.bias").unwrap_err().to_string();
    assert!(message.contains("`model.norm.bias`") && message.contains("`model.norm.weight`"), "{message}");
}

#[test]
fn integers_are_not_taken_for_weights() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let tensors = [("ids".to_owned(), TensorView { dtype: Dtype::U8, shape: &[1], bytes: &[7] })];
    write_tensors(&path, &tensors, &[]).unwrap();
    let message = TensorFile::open(&path).unwrap().f32("ids").unwrap_err().to_string();
    assert!(message.contains("`ids`") && message.contains("U8"), "{message}");
}

#[test]
fn a_header_that_is_not_json() {
    assert!(matches!(open_raw("{\"a\": ", 0), FormatError::Header { .. }));
    assert!(matches!(open_raw("[1]", 0), FormatError::Header { .. }));
}

#[test]
fn offsets_beyond_the_end() {
    let header = r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#;
    let error = open_raw(header, 8);
    let size = 8 + header.len() as u64;
    assert!(matches!(error, FormatError::Length { expected, got, .. } if expected == size + 16 && got == size + 8));
}

#[test]
fn offsets_that_overlap_leave_a_gap_or_do_not_fit_the_shape() {
    let two = |a: &str, b: &str| {
        format!(
            r#"{{"a":{{"dtype":"F32","shape":[1],"data_offsets":{a}}},"b":{{"dtype":"F32","shape":[1],"data_offsets":{b}}}}}"#
        )
    };
    for (a, b) in [("[0,4]", "[2,6]"), ("[0,4]", "[8,12]"), ("[4,0]", "[4,8]"), ("[0,8]", "[8,12]"), ("[0,4]", "[0,4]")]
    {
        assert!(matches!(open_raw(&two(a, b), 12), FormatError::Header { .. }), "{a} {b}");
    }
    let overflow = r#"{"a":{"dtype":"F32","shape":[9223372036854775807,8],"data_offsets":[0,4]}}"#;
    assert!(matches!(open_raw(overflow, 4), FormatError::Header { .. }));
    let all = r#"{"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]}}"#;
    assert!(matches!(open_raw(all, 4), FormatError::Length { .. } | FormatError::Header { .. }));
}

#[test]
fn an_unknown_dtype_is_named_with_its_tensor() {
    let header = r#"{"w":{"dtype":"F9000","shape":[1],"data_offsets":[0,4]}}"#;
    let error = open_raw(header, 4);
    assert!(
        matches!(&error, FormatError::UnknownDtype { tensor, got, .. } if tensor == "w" && got == "F9000"),
        "{error}"
    );
}

#[test]
fn a_header_longer_than_any_honest_one_is_not_read() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    fs::write(&path, u64::MAX.to_le_bytes()).unwrap();
    assert!(matches!(TensorFile::open(&path), Err(FormatError::TooLarge { got: u64::MAX, .. })));
    fs::write(&path, 50_u64.to_le_bytes()).unwrap();
    assert!(matches!(TensorFile::open(&path), Err(FormatError::Length { expected: 58, got: 8, .. })));
}

#[test]
fn missing_files_and_folders_are_named() {
    let message = TensorFile::open(Path::new("/nowhere/a.safetensors")).unwrap_err().to_string();
    assert!(message.contains("/nowhere/a.safetensors"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_tensors_survive(tensors in prop::collection::btree_map("[a-z.0-9\"\\\\墨]{1,12}", prop::collection::vec(any::<f32>(), 0..9), 0..6)) {
        let folder = tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let shapes: Vec<[usize; 1]> = tensors.values().map(|numbers| [numbers.len()]).collect();
        let views: Vec<_> = tensors.iter().zip(&shapes)
            .map(|((name, numbers), shape)| (name.clone(), TensorView::f32(shape, numbers))).collect();
        write_tensors(&path, &views, &[]).unwrap();
        let file = TensorFile::open(&path).unwrap();
        prop_assert_eq!(file.names().len(), tensors.len());
        for (name, numbers) in &tensors {
            let bits = |numbers: &[f32]| numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&file.f32(name).unwrap()), bits(numbers));
        }
    }
}
