//! What a word is told from: drawn words, or the nodes on its way in a Huffman tree.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::config::Objective;
use crate::random::{Draws, below};

/// The rows of the output table that stand for a word, with their labels.
#[derive(Debug)]
pub(crate) enum Outputs {
    Negatives { alias: Alias, number: usize },
    Tree(Tree),
}

impl Outputs {
    pub(crate) fn new(objective: Objective, counts: &[u64]) -> Self {
        match objective {
            Objective::Negatives(number) => Self::Negatives { alias: Alias::new(counts), number },
            Objective::HierarchicalSoftmax => Self::Tree(Tree::new(counts)),
        }
    }

    /// Fills in the rows and labels for `word`. Drawn words that are the word itself are left out, as in
    /// the original program.
    #[inline]
    pub(crate) fn of(&self, word: u32, draws: &mut Draws, rows: &mut Vec<u32>, labels: &mut Vec<f32>) {
        rows.clear();
        labels.clear();
        match self {
            Self::Negatives { alias, number } => {
                rows.push(word);
                labels.push(1.0);
                let drawn = (0..*number).map(|_| alias.draw(draws.next()));
                rows.extend(drawn.filter(|&drawn| drawn != word));
                labels.resize(rows.len(), 0.0);
            }
            Self::Tree(tree) => {
                let way = tree.starts[word as usize]..tree.starts[word as usize + 1];
                rows.extend_from_slice(&tree.nodes[way.clone()]);
                labels.extend_from_slice(&tree.labels[way]);
            }
        }
    }
}

/// Draws words in proportion to count^¾ (arXiv:1310.4546, section 2.2) in constant time (Walker 1977; the
/// table by Vose 1991).
#[derive(Debug)]
pub(crate) struct Alias(Vec<(u32, u32)>);

impl Alias {
    pub(crate) fn new(counts: &[u64]) -> Self {
        let weights: Vec<f64> = counts.iter().map(|&count| (count as f64).powf(0.75)).collect();
        let mean = weights.iter().sum::<f64>() / weights.len().max(1) as f64;
        let mut shares: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
        let mut table: Vec<(u32, u32)> = (0..counts.len() as u32).map(|id| (u32::MAX, id)).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..counts.len() as u32).partition(|&id| shares[id as usize] < 1.0);
        while let (Some(&giver), Some(taker)) = (large.last(), small.pop()) {
            let share = shares[taker as usize];
            table[taker as usize] = ((share * f64::from(u32::MAX)) as u32, giver);
            shares[giver as usize] -= 1.0 - share;
            if shares[giver as usize] < 1.0 {
                small.extend(large.pop());
            }
        }
        Self(table)
    }

    #[inline]
    fn draw(&self, bits: u64) -> u32 {
        let id = below(bits, self.0.len() as u32);
        let (threshold, other) = self.0[id as usize];
        if bits as u32 <= threshold { id } else { other }
    }
}

/// A Huffman tree: for each word its inner nodes from the root on, each with the label 1 where the way
/// turns left.
#[derive(Debug)]
pub(crate) struct Tree {
    starts: Vec<usize>,
    nodes: Vec<u32>,
    labels: Vec<f32>,
}

impl Tree {
    pub(crate) fn new(counts: &[u64]) -> Self {
        let words = counts.len();
        let parents = parents(counts);
        let (mut starts, mut nodes, mut labels) = (vec![0], Vec::new(), Vec::new());
        for word in 0..words {
            let start = nodes.len();
            let mut node = word;
            while let Some((parent, right)) = parents[node] {
                nodes.push((parent - words) as u32);
                labels.push(if right { 0.0 } else { 1.0 });
                node = parent;
            }
            nodes[start..].reverse();
            labels[start..].reverse();
            starts.push(nodes.len());
        }
        Self { starts, nodes, labels }
    }
}

/// For each word and then each inner node its parent, and whether it is the right child.
fn parents(counts: &[u64]) -> Vec<Option<(usize, bool)>> {
    let mut heap: BinaryHeap<Reverse<(u64, usize)>> =
        counts.iter().enumerate().map(|(id, &count)| Reverse((count, id))).collect();
    let mut parents = vec![None; counts.len()];
    while let (Some(Reverse(left)), Some(Reverse(right))) = (heap.pop(), heap.pop()) {
        let parent = parents.len();
        parents.push(None);
        parents[left.1] = Some((parent, false));
        parents[right.1] = Some((parent, true));
        heap.push(Reverse((left.0.saturating_add(right.0), parent)));
    }
    parents
}

#[cfg(test)]
mod tests {
    use super::{Alias, Draws, Tree};
    use crate::random::Purpose;

    #[test]
    fn words_are_drawn_by_the_power_of_their_count() {
        let counts = [10_000, 1000, 100, 16, 1];
        let alias = Alias::new(&counts);
        let mut draws = Draws::new(1, Purpose::Window, 0);
        let (n, mut drawn) = (400_000, [0; 5]);
        for _ in 0..n {
            drawn[alias.draw(draws.next()) as usize] += 1;
        }
        let weights = counts.map(|count| (count as f64).powf(0.75));
        let total: f64 = weights.iter().sum();
        for (drawn, weight) in drawn.iter().zip(weights) {
            let expected = f64::from(n) * weight / total;
            assert!((f64::from(*drawn) - expected).abs() < 5.0 * expected.sqrt() + 1.0, "{drawn} {expected}");
        }
    }

    #[test]
    fn ways_are_short_for_frequent_words_and_tell_words_apart() {
        let tree = Tree::new(&[50, 20, 15, 10, 5]);
        let way = |word: usize| {
            let range = tree.starts[word]..tree.starts[word + 1];
            (tree.nodes[range.clone()].to_vec(), tree.labels[range].to_vec())
        };
        let lengths: Vec<usize> = (0..5).map(|word| way(word).0.len()).collect();
        assert_eq!(lengths, [1, 2, 3, 4, 4]);
        let kraft: f64 = lengths.iter().map(|&n| 0.5f64.powi(n as i32)).sum();
        assert_eq!(kraft, 1.0);
        assert!((0..5).all(|a| (0..a).all(|b| way(a) != way(b))));
    }
}
