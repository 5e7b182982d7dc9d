//! The streaming estimator against the textbook.

use inkstone_classic::ngram::model::Table;
use inkstone_classic::ngram::reference::Reference;
use inkstone_classic::ngram::{BEGIN, Smoothing, Vocabulary, WordId};

use crate::support::{ALL, ids, random_lines, table, training};

/// Histories that occur, histories that do not, unknown words among them.
fn histories(sentences: &[Vec<WordId>], order: usize, vocabulary: usize) -> Vec<Vec<WordId>> {
    let mut histories = vec![vec![], vec![BEGIN], vec![0, 3], vec![BEGIN, 0]];
    for (n, sentence) in sentences.iter().enumerate().step_by(7) {
        let words: Vec<WordId> = [&[BEGIN], sentence.as_slice()].concat();
        let end = 1 + n % words.len();
        histories.push(words[end.saturating_sub(order + 1)..end].to_vec());
        histories.push((0..order).map(|i| 2 + ((n * 31 + i * 17) % (vocabulary - 2).max(1)) as WordId).collect());
    }
    histories
}

fn compare(lines: &[String], order: usize, smoothing: Smoothing, prune: &[u64], bytes: usize) {
    let table: Table = table(lines, &training(order, smoothing, prune, bytes));
    let vocabulary: &Vocabulary = table.vocabulary();
    let sentences: Vec<Vec<WordId>> = lines.iter().map(|line| ids(vocabulary, line)).collect();
    let reference = Reference::new(&sentences, vocabulary.len(), order, smoothing, prune);
    for history in histories(&sentences, order, vocabulary.len()) {
        let mut sum = 0.0;
        let history = &history[history.len().saturating_sub(order - 1)..];
        for word in (0..vocabulary.len() as WordId).filter(|&word| word != BEGIN) {
            let fast = table.log10_probability(&[history, &[word]].concat());
            let slow = reference.probability(history, word).log10();
            assert!((fast - slow).abs() < 1e-9, "{smoothing:?}, order {order}: {history:?} {word}: {fast} and {slow}");
            sum += 10f64.powf(fast);
        }
        assert!((sum - 1.0).abs() < 1e-9, "{smoothing:?}, order {order}: {history:?} sums to {sum}");
    }
}

#[test]
fn every_smoothing_equals_its_definition_and_sums_to_one() {
    for smoothing in ALL {
        for (order, words) in [(1, 30), (2, 12), (3, 40), (5, 25)] {
            compare(&random_lines(order as u64, 150, words), order, smoothing, &[], 1 << 24);
        }
    }
}

#[test]
fn leaving_out_rare_ngrams_keeps_the_sums() {
    for smoothing in ALL {
        compare(&random_lines(5, 200, 12), 3, smoothing, &[0, 1, 2], 1 << 24);
        compare(&random_lines(6, 200, 8), 4, smoothing, &[0, 0, 1, 1], 1 << 24);
    }
}

#[test]
fn tiny_texts_and_orders_above_the_longest_sentence_work() {
    for smoothing in ALL {
        for text in ["", "a", "a a a a", "a b\nb a\n\nc"] {
            let lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
            compare(&lines, 1, smoothing, &[], 1 << 20);
            compare(&lines, 7, smoothing, &[], 1 << 20);
        }
    }
}

#[test]
fn a_literal_unknown_word_is_counted_as_such() {
    let lines: Vec<String> = ["the <unk> sat", "<unk> <unk>", "the cat sat"].map(str::to_owned).to_vec();
    for smoothing in ALL {
        compare(&lines, 3, smoothing, &[], 1 << 20);
    }
}

/// Wide vocabularies and long n-grams take wider integers; little memory takes temporary files. Neither shows.
#[test]
fn neither_memory_nor_threads_nor_width_show_in_the_result() {
    let lines = random_lines(9, 3000, 400);
    for (smoothing, order) in [(Smoothing::ModifiedKneserNey, 4), (Smoothing::Katz, 3), (Smoothing::WittenBell, 16)] {
        let of = |bytes, threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| format!("{:?}", table(&lines, &training(order, smoothing, &[], bytes)).blocks()))
        };
        let whole = of(1 << 28, 1);
        assert!(of(1 << 10, 1) == whole && of(1 << 28, 3) == whole && of(1 << 18, 2) == whole, "{smoothing:?}");
    }
}
