//! Training without waiting (Recht et al. 2011): threads read and write the same tables as they come.
//!
//! Faster with many threads, and never the same twice. Numbers are read and written in pairs that are whole in
//! themselves; of two steps at the same moment one may be lost, which the method allows.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use inkstone_kernels::{ROW_LANES, logistic_step};
use rayon::prelude::*;

use super::config::{Architecture, Word2VecConfig};
use super::gathered::Gathered;
use super::outputs::Outputs;
use super::sentences::Sentences;
use super::table::Rows;
use super::train::{initial, learning_rate};
use super::vectors::Vectors;
use super::vocabulary::Vocabulary;
use super::windows::{Batch, Batches};
use crate::{ClassicError, Result};

/// As [`super::train`], but the result depends on how the threads meet.
pub fn train_hogwild(
    (vocabulary, sentences): (&Vocabulary, &Sentences),
    config: &Word2VecConfig,
    seed: u64,
    progress: &(dyn Fn(u64) -> bool + Sync),
) -> Result<Vectors> {
    config.check()?;
    let initial = initial(vocabulary.len(), config.size, seed).rows(vocabulary.len(), config.size);
    let run = Run {
        inputs: SharedTable::new(vocabulary.len(), config.size, &initial),
        outputs: SharedTable::new(vocabulary.len(), config.size, &[]),
        targets: Outputs::new(config.objective, vocabulary.counts()),
        keep: vocabulary.keep_probabilities(config.sample),
        config,
        seed,
        words: sentences.words() as u64,
        read: AtomicU64::new(0),
        stopped: AtomicBool::new(false),
    };
    let parts = sentences.split(rayon::current_num_threads());
    for epoch in 0..config.epochs {
        parts.par_iter().for_each(|(first, part)| run.part(part, epoch * run.words + first, progress));
    }
    if run.stopped.into_inner() {
        return Err(ClassicError::Interrupted);
    }
    Vectors::new(vocabulary.words().to_vec(), config.size, run.inputs.rows(config.size))
}

/// What the threads share.
struct Run<'a> {
    inputs: SharedTable,
    outputs: SharedTable,
    targets: Outputs,
    keep: Vec<f32>,
    config: &'a Word2VecConfig,
    seed: u64,
    words: u64,
    read: AtomicU64,
    stopped: AtomicBool,
}

impl Run<'_> {
    /// Trains on one thread's part of the text, of which `first` words of the run come before.
    fn part(&self, part: &Sentences, first: u64, progress: &(dyn Fn(u64) -> bool + Sync)) {
        let mut batches = Batches::new(part, &self.keep, self.seed, first);
        let (mut batch, mut gathered, mut steps) = (Batch::default(), Gathered::default(), Vec::new());
        let mut before = first;
        while !self.stopped.load(Ordering::Relaxed) && batches.next(&mut batch) {
            let new = batch.read - before;
            before = batch.read;
            let read = self.read.fetch_add(new, Ordering::Relaxed) + new;
            let rate = learning_rate(self.config, read - new, self.words);
            for n in 0..batch.len() {
                self.window(&batch, n, (&mut gathered, &mut steps), rate);
            }
            if !progress(read) {
                self.stopped.store(true, Ordering::Relaxed);
            }
        }
    }

    fn window(&self, batch: &Batch, n: usize, (gathered, steps): (&mut Gathered, &mut Vec<f32>), rate: f32) {
        let (window, mut draws) = batch.window(n, self.config.window, self.seed);
        let architecture = self.config.architecture;
        if !gathered.fill((&self.inputs, &self.outputs), &self.targets, (&window, &mut draws), architecture) {
            return;
        }
        let Gathered { x, w, rows, labels } = &*gathered;
        steps.resize(x.len() + w.len(), 0.0);
        let (dx, dw) = steps.split_at_mut(x.len());
        logistic_step((dx, dw), (x, w), labels, rate);
        let width = self.inputs.width();
        let mut dx = dx.chunks_exact(width);
        let shared = (architecture == Architecture::Cbow).then(|| dx.next()).flatten();
        window.context().for_each(|id| self.inputs.add(id, shared.or_else(|| dx.next()).unwrap_or_default()));
        rows.iter().zip(dw.chunks_exact(width)).for_each(|(&id, step)| self.outputs.add(id, step));
    }
}

/// A table that several threads change. Two numbers share a word of 64 bits.
struct SharedTable {
    pairs: Vec<AtomicU64>,
    width: usize,
}

impl SharedTable {
    /// Rows of `size` numbers filled up with zeros; all zeros where there are no `values`.
    fn new(rows: usize, size: usize, values: &[f32]) -> Self {
        let width = size.next_multiple_of(ROW_LANES);
        let pairs = (0..rows * width / 2).map(|_| AtomicU64::new(0)).collect();
        let mut table = Self { pairs, width };
        for (row, values) in values.chunks_exact(size).enumerate() {
            let pairs = &mut table.pairs[row * width / 2..];
            for (pair, values) in pairs.iter_mut().zip(values.chunks(2)) {
                *pair.get_mut() = join([values[0], values.get(1).copied().unwrap_or_default()]);
            }
        }
        table
    }

    fn row(&self, id: u32) -> &[AtomicU64] {
        &self.pairs[id as usize * self.width / 2..][..self.width / 2]
    }

    fn add(&self, id: u32, step: &[f32]) {
        let (step, _) = step.as_chunks::<2>();
        for (pair, step) in self.row(id).iter().zip(step) {
            let [a, b] = split(pair.load(Ordering::Relaxed));
            pair.store(join([a + step[0], b + step[1]]), Ordering::Relaxed);
        }
    }

    fn rows(&self, size: usize) -> Vec<f32> {
        let (mut values, mut row) = (Vec::new(), Vec::new());
        for id in 0..(self.pairs.len() * 2 / self.width) as u32 {
            row.clear();
            self.gather(id, &mut row);
            values.extend_from_slice(&row[..size]);
        }
        values
    }
}

impl Rows for SharedTable {
    fn width(&self) -> usize {
        self.width
    }

    #[inline]
    fn gather(&self, id: u32, to: &mut Vec<f32>) {
        let start = to.len();
        to.resize(start + self.width, 0.0);
        let (out, _) = to[start..].as_chunks_mut::<2>();
        for (out, pair) in out.iter_mut().zip(self.row(id)) {
            *out = split(pair.load(Ordering::Relaxed));
        }
    }
}

#[inline]
fn join([a, b]: [f32; 2]) -> u64 {
    u64::from(a.to_bits()) | u64::from(b.to_bits()) << 32
}

#[inline]
fn split(pair: u64) -> [f32; 2] {
    [f32::from_bits(pair as u32), f32::from_bits((pair >> 32) as u32)]
}
