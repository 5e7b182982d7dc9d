//! Learning vectors (arXiv:1301.3781, arXiv:1310.4546), the same bytes with any number of threads.
//!
//! Departures from the original program, which lets threads write over one another:
//! - The negatives of a word in the middle are drawn once and shared by all words around it, which turns a
//!   window into three small matrix products (arXiv:1604.04661, section 3.1).
//! - The steps of some hundred windows are computed from the same tables, by blocks on all threads; then each
//!   shard of the tables takes the steps of its rows, in the order of the text. Of fewer windows where one word
//!   would have many steps among them ([`together`]).

use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;

use inkstone_formats::safetensors::{TensorFile, TensorView};
use inkstone_kernels::{add_rows, logistic_step};

use super::config::{Architecture, Word2VecConfig};
use super::gathered::Gathered;
use super::outputs::Outputs;
use super::sentences::Sentences;
use super::table::{Place, SHARDS, Table};
use super::vectors::Vectors;
use super::vocabulary::Vocabulary;
use super::windows::{BATCH, Batch, Batches, Window};
use crate::neural::Checkpoint;
use crate::random::{Draws, Purpose};
use crate::{ClassicError, Result};

/// Windows per task.
const BLOCK: usize = 32;

/// What is learnt, and where the training keeps itself.
#[derive(Debug, Clone, Copy)]
pub struct Lesson<'a> {
    /// The words.
    pub vocabulary: &'a Vocabulary,
    /// The text in their ids.
    pub sentences: &'a Sentences,
    /// How.
    pub config: &'a Word2VecConfig,
    /// All draws depend on it.
    pub seed: u64,
    /// The folder of checkpoints, from the last of which a training goes on, and the words between two of them.
    pub state: Option<(&'a Path, u64)>,
}

/// Learns a vector for each word. `watch` hears of words read (out of `sentences.words() · epochs`), when it stops the
/// training by returning `false`, and of a checkpoint that is of no use.
pub fn train(lesson: &Lesson<'_>, watch: &mut dyn FnMut(Event<'_>) -> bool) -> Result<Vectors> {
    let Lesson { vocabulary, config, .. } = *lesson;
    config.check()?;
    let mut run = Run::begin(lesson, watch);
    while run.read < run.words * config.epochs {
        run.epoch(watch)?;
    }
    let vectors = run.model.inputs.rows(vocabulary.len(), config.size);
    Vectors::new(vocabulary.words().to_vec(), config.size, vectors)
}

/// What happens during a training.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// So many words were read.
    Read(u64),
    /// Something that the user should know.
    Warning(&'a str),
}

struct Run<'a> {
    lesson: &'a Lesson<'a>,
    model: Model,
    keep: Vec<f32>,
    /// Words of the text.
    words: u64,
    /// Words read in this pass and those before.
    read: u64,
    /// The same when the last checkpoint was written.
    saved: u64,
}

impl<'a> Run<'a> {
    fn begin(lesson: &'a Lesson<'a>, watch: &mut dyn FnMut(Event<'_>) -> bool) -> Self {
        let Lesson { vocabulary, sentences, config, seed, state } = *lesson;
        let mut model = Model::new(vocabulary, config, seed);
        let checkpoint = state.map(|(folder, _)| Checkpoint::new(folder));
        let saved = checkpoint.and_then(|checkpoint| {
            checkpoint.load(&mut |line| {
                watch(Event::Warning(line));
            })
        });
        let read = saved.filter(|(_, file)| model.restore(file)).map_or(0, |(read, _)| read);
        let keep = vocabulary.keep_probabilities(config.sample);
        Self { lesson, model, keep, words: sentences.words() as u64, read, saved: read }
    }

    /// Runs the pass to its end from where it is.
    fn epoch(&mut self, watch: &mut dyn FnMut(Event<'_>) -> bool) -> Result<()> {
        let Lesson { vocabulary, sentences, config, seed, .. } = *self.lesson;
        let keep = std::mem::take(&mut self.keep);
        let together = together(vocabulary, &keep, config.learning_rate);
        let end = (self.read / self.words + 1) * self.words;
        let mut batches = Batches::new(sentences, &keep, seed, (self.read, self.read % self.words));
        let (mut batch, mut blocks) = (Batch::default(), Vec::new());
        while batches.next(&mut batch) {
            let rate = learning_rate(config, self.read, self.words);
            for first in (0..batch.len()).step_by(together) {
                let windows = first..(first + together).min(batch.len());
                self.model.step((&batch, windows), &mut blocks, (config, seed), rate);
            }
            self.read = batch.read;
            let go_on = watch(Event::Read(self.read));
            self.save(!go_on)?;
            if !go_on {
                return Err(ClassicError::Interrupted);
            }
        }
        drop(batches);
        (self.keep, self.read) = (keep, end);
        Ok(())
    }

    /// Writes a checkpoint if it is time for one.
    fn save(&mut self, now: bool) -> Result<()> {
        let Some((folder, every)) = self.lesson.state else { return Ok(()) };
        if now || self.read - self.saved >= every {
            Checkpoint::new(folder).save(self.read, &self.read, &self.model.views())?;
            self.saved = self.read;
        }
        Ok(())
    }
}

/// Windows whose steps are computed from the same tables. A word that is often in the middle would have so many
/// steps from an old vector that it would overshoot: the most frequent one has about `0.1 / learning rate`.
fn together(vocabulary: &Vocabulary, keep: &[f32], learning_rate: f64) -> usize {
    let kept = || vocabulary.counts().iter().zip(keep).map(|(&count, &keep)| count as f64 * f64::from(keep));
    let largest = kept().fold(0.0, f64::max) / kept().sum::<f64>().max(1.0);
    ((0.1 / learning_rate / largest.max(1e-9)) as usize).clamp(1, BATCH)
}

/// Falls linearly with the words read.
pub(crate) fn learning_rate(config: &Word2VecConfig, read: u64, words: u64) -> f32 {
    let left = 1.0 - read as f64 / (words * config.epochs + 1) as f64;
    (config.learning_rate * left.max(1e-4)) as f32
}

/// The initial vectors: uniform in ±1 / (2 · size).
pub(crate) fn initial(words: usize, size: usize, seed: u64) -> Table {
    Table::new(words, size, |row, column| {
        let index = (row * size + column) as u64;
        ((Draws::new(seed, Purpose::Initial, index).uniform() - 0.5) / size as f64) as f32
    })
}

/// Both tables, and what a word is told from.
struct Model {
    inputs: Table,
    outputs: Table,
    targets: Outputs,
}

impl Model {
    fn new(vocabulary: &Vocabulary, config: &Word2VecConfig, seed: u64) -> Self {
        Self {
            inputs: initial(vocabulary.len(), config.size, seed),
            outputs: Table::new(vocabulary.len(), config.size, |_, _| 0.0),
            targets: Outputs::new(config.objective, vocabulary.counts()),
        }
    }

    fn views(&self) -> Vec<(String, TensorView<'_>)> {
        [self.inputs.views("inputs"), self.outputs.views("outputs")].concat()
    }

    /// Takes the numbers of a checkpoint, if they are as many.
    fn restore(&mut self, file: &TensorFile) -> bool {
        let read = (self.inputs.read("inputs", file), self.outputs.read("outputs", file));
        let (Some(inputs), Some(outputs)) = read else { return false };
        (self.inputs, self.outputs) = (inputs, outputs);
        true
    }

    fn step(
        &mut self,
        (batch, windows): (&Batch, Range<usize>),
        blocks: &mut Vec<Block>,
        setting: (&Word2VecConfig, u64),
        rate: f32,
    ) {
        let tasks = windows.len().div_ceil(BLOCK);
        if blocks.len() < tasks {
            blocks.resize_with(tasks, Block::default);
        }
        let blocks = &mut blocks[..tasks];
        blocks.par_iter_mut().enumerate().for_each(|(n, block)| {
            let first = windows.start + n * BLOCK;
            block.fill(self, batch, first..(first + BLOCK).min(windows.end), setting, rate);
        });
        let width = self.inputs.width();
        let sides = [(self.inputs.shards_mut(), Side::Input), (self.outputs.shards_mut(), Side::Output)];
        let tasks: Vec<_> = sides
            .into_iter()
            .flat_map(|(shards, side)| shards.iter_mut().enumerate().map(move |(n, shard)| (shard, side, n)))
            .collect();
        tasks.into_par_iter().for_each(|(rows, side, shard)| {
            for block in &*blocks {
                block.apply(rows, (side, shard), width);
            }
        });
    }
}

/// Which table a step is for.
#[derive(Debug, Clone, Copy)]
enum Side {
    Input = 0,
    Output = 1,
}

/// The steps of some windows: rows of numbers, and where each is to be added.
#[derive(Debug, Default)]
struct Block {
    /// Only grows, and is written before it is read.
    steps: Vec<f32>,
    used: usize,
    /// By table and shard: (row in the shard, row of `steps`).
    targets: [[Vec<(u32, u32)>; SHARDS]; 2],
    gathered: Gathered,
}

impl Block {
    fn fill(
        &mut self,
        model: &Model,
        batch: &Batch,
        windows: Range<usize>,
        (config, seed): (&Word2VecConfig, u64),
        rate: f32,
    ) {
        self.used = 0;
        self.targets.iter_mut().flatten().for_each(Vec::clear);
        for n in windows {
            let (window, mut draws) = batch.window(n, config.window, seed);
            let tables = (&model.inputs, &model.outputs);
            if self.gathered.fill(tables, &model.targets, (&window, &mut draws), config.architecture) {
                self.add(&window, model.inputs.width(), config.architecture, rate);
            }
        }
    }

    fn add(&mut self, window: &Window<'_>, width: usize, architecture: Architecture, rate: f32) {
        let Gathered { x, w, rows, labels } = &self.gathered;
        let first = self.used / width;
        self.used += x.len() + w.len();
        if self.steps.len() < self.used {
            self.steps.resize(2 * self.used, 0.0);
        }
        let (dx, dw) = self.steps[first * width..self.used].split_at_mut(x.len());
        logistic_step((dx, dw), (x, w), labels, rate);
        let (inputs, shared) = (x.len() / width, architecture == Architecture::Cbow);
        let mut target = |side: Side, id: u32, step: usize| {
            let Place { shard, row } = Place::of(id);
            self.targets[side as usize][shard].push((row as u32, step as u32));
        };
        for (n, id) in window.context().enumerate() {
            target(Side::Input, id, if shared { first } else { first + n });
        }
        for (n, &id) in rows.iter().enumerate() {
            target(Side::Output, id, first + inputs + n);
        }
    }

    fn apply(&self, rows: &mut [f32], (side, shard): (Side, usize), width: usize) {
        add_rows(rows, &self.steps, &self.targets[side as usize][shard], width);
    }
}
