//! What becomes of a batch of texts that a model is to restore: what it is shown, and what it is to say.

use inkstone_corpus::draw::Draw;
use inkstone_corpus::loader::{Batch, IGNORE, Loader};
use inkstone_models::{Loss, Model, NoObserver, Pass, Source, Tree};
use inkstone_recipe::Metrics;
use inkstone_tokenizer::{Tokenizer, TokenizerError};

use super::{Batches, Objective};
use crate::TrainError;
use crate::interval::wilson;

/// Rows that are shown with something missing, `[b, t]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Noised {
    /// Rows.
    pub batch_size: usize,
    /// What is shown.
    pub ids: Vec<u32>,
    /// What is to be said at each position, or [`IGNORE`].
    pub labels: Vec<i32>,
    /// For each position the first one that it sees; empty: that of the row.
    pub starts: Vec<u32>,
    /// For each position the end of what it sees; empty: what the architecture says.
    pub ends: Vec<u32>,
    /// For each position its sentence, 0 or 1; empty: 0.
    pub segments: Vec<u32>,
    /// What an encoder reads, `[b, s]`, with the tokens of each row that are no padding.
    pub source: Option<(Vec<u32>, Vec<u32>)>,
    /// For each row the label of its two sentences, or [`IGNORE`]; empty: nothing is asked of them.
    pub sentences: Vec<i32>,
    /// For each position its place in the shortened text and in its span (arXiv:2103.10360, section 2.2); empty: as they stand.
    pub places: Vec<[u32; 2]>,
    /// Where tokens stand in dictionaries; none: in no dictionary.
    pub tree: Option<Branches>,
}

/// The segments of dictionaries; see [`Tree`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Branches {
    /// For each position its segment, `[b, t]`.
    pub segments: Vec<u32>,
    /// How the m segments of each row are related, `[b, m, m]`.
    pub relations: Vec<u32>,
}

/// Takes something out of a batch. What is taken is a function of the batch and the draws alone.
pub trait Noise: Send + Sync {
    /// What is left of `batch`; `draw` gives the draws of each row.
    fn noised(&self, batch: &Batch, draw: &dyn Fn(usize) -> Draw) -> Noised;
}

/// Batches of a loader with something taken out, anew in each pass.
pub(crate) struct Noising<'a> {
    pub(crate) loader: Loader,
    pub(crate) noise: &'a dyn Noise,
    pub(crate) seed: u64,
}

impl Noising<'_> {
    fn noised(&self, batch: &Batch, purpose: &str, index: u64) -> Noised {
        let rows = batch.batch_size;
        self.noise.noised(batch, &|row| Draw::new(self.seed, purpose, index as usize * rows + row))
    }
}

impl Batches for Noising<'_> {
    type Batch = Noised;

    fn batch(&mut self, index: u64) -> Noised {
        let batch = self.loader.batch(index);
        self.noised(&batch, "noise", index)
    }

    fn batches_per_pass(&mut self) -> u64 {
        self.loader.batches_per_pass()
    }

    fn pass_batch(&mut self, index: u64) -> Noised {
        let batch = self.loader.pass_batch(index);
        self.noised(&batch, "noise of a pass", index)
    }
}

/// Say what was taken out, and what is asked of two sentences.
#[derive(Debug, Clone, Copy)]
pub struct Restore;

impl Objective<Noised> for Restore {
    fn loss(&self, model: &Model, batch: &Noised) -> Result<Loss, TrainError> {
        let said = (&batch.labels[..], &batch.sentences[..]);
        Ok(batch.pass(&mut NoObserver, |pass| model.loss_in(&batch.ids, said, batch.batch_size, pass)))
    }

    fn prompt(&self, tokenizer: &Tokenizer, prompt: &str) -> Result<Vec<u32>, TokenizerError> {
        tokenizer.encode(prompt)
    }
}

impl Noised {
    /// What `f` makes of the pass in which the model reads these rows.
    pub(crate) fn pass<T>(&self, observer: &mut NoObserver, f: impl FnOnce(&mut Pass<'_>) -> T) -> T {
        fn some(values: &[u32]) -> Option<&[u32]> {
            (!values.is_empty()).then_some(values)
        }
        let source = self.source.as_ref().map(|(ids, lengths)| Source { ids, lengths: Some(lengths) });
        f(&mut Pass {
            starts: some(&self.starts),
            ends: some(&self.ends),
            segments: some(&self.segments),
            places: (!self.places.is_empty()).then_some(&self.places),
            tree: self.tree.as_ref().map(|tree| Tree {
                numbers: &[],
                segments: &tree.segments,
                relations: &tree.relations,
            }),
            source,
            ..Pass::new(observer)
        })
    }
}

/// How often the likeliest is right, and how often the commonest would be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hits {
    pub(crate) hits: u64,
    pub(crate) commonest: u64,
    pub(crate) n: u64,
}

/// Of the tokens, and of the sentences, of one pass over `batches`.
pub(crate) fn hits<D: Batches<Batch = Noised>>(model: &Model, batches: &mut D) -> [Hits; 2] {
    let model = model.valid();
    let mut all = [Vec::new(), Vec::new()];
    for index in 0..batches.batches_per_pass() {
        let batch = batches.pass_batch(index);
        let said = (&batch.labels[..], &batch.sentences[..]);
        let guesses = batch.pass(&mut NoObserver, |pass| model.guesses_in(&batch.ids, said, batch.batch_size, pass));
        all.iter_mut().zip(guesses).for_each(|(all, guesses)| all.extend(guesses));
    }
    all.map(|guesses| Hits::of(&guesses))
}

impl Hits {
    /// Of guesses, each beside what is right.
    pub(crate) fn of(guesses: &[(i32, i32)]) -> Self {
        let mut counts = std::collections::BTreeMap::<i32, u64>::new();
        for (_, right) in guesses {
            *counts.entry(*right).or_default() += 1;
        }
        Self {
            hits: guesses.iter().filter(|(guess, right)| guess == right).count() as u64,
            commonest: counts.values().copied().max().unwrap_or(0),
            n: guesses.len() as u64,
        }
    }

    /// The shares as metrics that begin with `name`.
    pub(crate) fn publish(self, name: &str, metrics: &mut Metrics) {
        if self.n == 0 {
            return;
        }
        let (own, commonest) = (wilson(self.hits, self.n), wilson(self.commonest, self.n));
        for (end, share) in [("", own.value), ("_low", own.low), ("_high", own.high)] {
            metrics.insert(format!("{name}{end}"), share.into());
        }
        metrics.insert(format!("commonest_{name}"), commonest.value.into());
        metrics.insert(format!("{name}_of"), self.n.into());
    }
}

/// The tokens of a row that are no padding: what stands behind the last label or text.
pub(crate) fn row_of(batch: &Batch, row: usize, pad: u32) -> &[u32] {
    let ids = &batch.ids[row * batch.context..(row + 1) * batch.context];
    let end = ids.iter().rposition(|&id| id != pad).map_or(0, |at| at + 1);
    &ids[..end]
}

/// Where the document of each position of `[b, t]` ends.
pub(crate) fn ends_of(batch: &Batch) -> Vec<u32> {
    let mut ends = vec![batch.context as u32; batch.ids.len()];
    for row in 0..batch.batch_size {
        let first = row * batch.context;
        for at in (first..first + batch.context - 1).rev() {
            let border = batch.starts[at] != batch.starts[at + 1];
            ends[at] = if border { (at + 1 - first) as u32 } else { ends[at + 1] };
        }
    }
    ends
}

/// Rows of unequal length behind one another, each filled up to the longest with `fill`.
pub(crate) fn filled<T: Copy>(rows: &[Vec<T>], fill: T) -> Vec<T> {
    let longest = rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let row = |row: &Vec<T>| row.iter().copied().chain(std::iter::repeat_n(fill, longest - row.len())).collect();
    rows.iter().flat_map(|it| -> Vec<T> { row(it) }).collect()
}

/// The labels of ids.
pub(crate) fn labels_of(ids: &[u32]) -> impl Iterator<Item = i32> {
    ids.iter().map(|&id| i32::try_from(id).unwrap_or(IGNORE))
}
