use inkstone_classic::ClassicError;
use inkstone_classic::word2vec::{Format, Vectors, read_vectors, write_vectors};

use super::{file, fixture};

#[test]
fn both_formats_of_gensim_read_the_same() {
    let (text, binary) = (read_vectors(&fixture("gensim.txt")).unwrap(), read_vectors(&fixture("gensim.bin")).unwrap());
    assert_eq!(text.words(), binary.words());
    assert_eq!((text.words().len(), text.size()), (10, 12));
    assert_eq!(&*text.words()[5], "砚台");
    assert!(text.values().iter().zip(binary.values()).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn what_is_written_reads_back() {
    let words = ["a", "砚", "-1", "e"].map(Into::into).to_vec();
    let values: Vec<f32> = (0..12).map(|n| (n as f32 - 5.5) * 0.123).collect();
    let vectors = Vectors::new(words, 3, values).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v");
    write_vectors(&path, &vectors, Format::Binary).unwrap();
    assert_eq!(read_vectors(&path).unwrap(), vectors);
    write_vectors(&path, &vectors, Format::Text).unwrap();
    let back = read_vectors(&path).unwrap();
    assert_eq!(back.words(), vectors.words());
    assert!(back.values().iter().zip(vectors.values()).all(|(a, b)| (a - b).abs() < 1e-6));
}

/// The message of the error that `content` gives.
fn error(content: &[u8]) -> String {
    let (_folder, path) = file("vectors", content);
    let error = read_vectors(&path).unwrap_err();
    assert!(matches!(error, ClassicError::Line { .. } | ClassicError::Malformed { .. }), "{error:?}");
    error.to_string()
}

#[test]
fn a_line_of_another_width_is_named() {
    assert!(error(b"2 3\na 1 2 3\nb 1 2\n").ends_with("vectors, line 3: 2 numbers, expected 3"));
    assert!(error(b"2 3\na 1 2 3\nb 1 2 3 4\n").ends_with("line 3: 4 numbers, expected 3"));
    assert!(error("1 2\n砚 1 x.\n".as_bytes()).contains("vectors"));
}

#[test]
fn a_file_that_ends_early_says_after_how_many() {
    let whole = std::fs::read(fixture("gensim.bin")).unwrap();
    assert!(error(&whole[..whole.len() - 20]).contains("ends after 9 vectors, expected 10"));
    assert!(error(&whole[..whole.len() / 2]).contains("expected 10"));
    assert!(error(b"3 2\na 1 2\nb 1 2\n").contains("ends after 2 vectors, expected 3"));
}

#[test]
fn a_first_line_that_lies_takes_no_memory() {
    assert!(error(b"999999999999 300\na 1 2\n").contains("too few"));
    assert!(error(b"1 0\na\n").contains("line 1"));
    assert!(error(b"1 70000\na\n").contains("line 1"));
    assert!(error(b"").contains("line 1"));
    assert!(error(b"nonsense").contains("line 1"));
}
