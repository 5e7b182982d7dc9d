use inkstone_classic::ClassicError;
use inkstone_classic::word2vec::{
    MapSettings, Projection, Space, Vectors, analogies, draw_map, read_vectors, similarity,
};
use serde_json::Value;

use super::{file, fixture};

fn space() -> Space {
    Space::new(read_vectors(&fixture("gensim.bin")).unwrap())
}

/// Words with their similarities are what gensim found.
fn same(got: &[inkstone_classic::word2vec::Neighbour], expected: &Value) {
    let expected = expected.as_array().unwrap();
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert_eq!(got.word, expected[0]);
        assert!((f64::from(got.similarity) - expected[1].as_f64().unwrap()).abs() < 1e-5);
    }
}

#[test]
fn neighbours_and_analogies_are_gensims() {
    let expected: Value = serde_json::from_slice(&std::fs::read(fixture("expected.json")).unwrap()).unwrap();
    let space = space();
    for (word, near) in expected["near"].as_object().unwrap() {
        let id = space.find(word).unwrap();
        same(&space.nearest(space.unit(id), &[id], 4), near);
    }
    let [king, man, woman] = ["King", "man", "woman"].map(|word| space.find(word).unwrap());
    let direction = space.direction(&[(1.0, king), (-1.0, man), (1.0, woman)]);
    same(&space.nearest(&direction, &[king, man, woman], 3), &expected["analogy"]);
}

#[test]
fn a_word_never_seen_is_named() {
    let error = space().find("dragon").unwrap_err();
    assert!(matches!(&error, ClassicError::UnknownWord { words: 10, .. }) && error.to_string().contains("dragon"));
    assert!(error.hint().is_some());
}

/// Vectors in which analogies hold.
fn lattice() -> Space {
    let words = ["man", "woman", "king", "queen", "Berlin", "Germany", "Rome", "Italy"].map(Into::into).to_vec();
    let rows = [
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 0, 1, 0],
        [1, 1, 1, 0],
        [0, 0, 1, 2],
        [0, 2, 1, 2],
        [0, 0, -1, 2],
        [0, 2, -1, 2],
    ];
    Space::new(Vectors::new(words, 4, rows.as_flattened().iter().map(|&x| x as f32).collect()).unwrap())
}

#[test]
fn questions_are_counted_by_section_and_case_does_not_matter() {
    let questions = ": family\nman woman KING queen\nman woman king dragon\n\n: capitals\nberlin germany rome italy\nberlin germany rome man\n";
    let (_folder, path) = file("questions", questions.as_bytes());
    let sections = analogies(&lattice(), &path, &mut |_| {}).unwrap();
    let counts: Vec<_> = sections.iter().map(|s| (s.name.as_str(), s.right, s.asked, s.unknown)).collect();
    assert_eq!(counts, [("family", 1, 1, 1), ("capitals", 1, 2, 0)]);
}

#[test]
fn a_question_of_three_words_is_named() {
    let (_folder, path) = file("questions", b": x\nman woman king queen\nman woman king\n");
    let error = analogies(&lattice(), &path, &mut |_| {}).unwrap_err().to_string();
    assert!(error.ends_with("line 3: 3 words, expected 4, or a colon and a name"), "{error}");
}

#[test]
fn similarity_reads_tabs_commas_and_headings() {
    for separator in ["\t", ",", " "] {
        let pairs = "Word 1,Word 2,Score\n# a remark\nman,woman,9\nman,king,9\nman,italy,1\nqueen,king,8\nking,dragon,5\nberlin,rome,7\n";
        let text =
            pairs.replace(',', separator).replace("berlin", "Berlin").replace("rome", "Rome").replace("italy", "Italy");
        let (_folder, path) = file("pairs", text.as_bytes());
        let agreement = similarity(&lattice(), &path).unwrap();
        assert_eq!((agreement.pairs, agreement.unknown), (5, 1));
        assert!(agreement.spearman_low < agreement.spearman && agreement.spearman < agreement.spearman_high);
    }
    let (_folder, path) = file("pairs", b"man woman 9\nman woman\n");
    assert!(similarity(&lattice(), &path).unwrap_err().to_string().contains("line 2"));
    let (_folder, path) = file("pairs", b"cat dog 9\n");
    assert!(similarity(&lattice(), &path).unwrap_err().to_string().contains("0 pairs of known words"));
}

#[test]
fn the_map_shows_each_word_and_needs_nothing_else() {
    let vectors = Vectors::new(["<b>", "砚"].map(Into::into).to_vec(), 2, vec![1.0, 0.0, 0.0, 1.0]).unwrap();
    for projection in [Projection::Pca, Projection::Tsne] {
        let page = draw_map(&Space::new(vectors.clone()), MapSettings { words: 400, projection });
        assert!(page.contains(">&lt;b&gt;</text>") && page.contains(">砚</text>") && !page.contains("<b>"));
        assert!(!page.contains("http") && !page.contains("NaN"));
    }
}
