//! Examples as rows of tokens with what is right, and batches of them.

use std::collections::BTreeMap;

use inkstone_corpus::examples::{Answer, Example, Task};
use inkstone_corpus::loader::IGNORE;
use inkstone_models::Kind;
use inkstone_tokenizer::Tokenizer;

use super::dictionary::{self, Said};
use super::task::{TaskTable, text_source};
use crate::TrainError;
use crate::objective::Batches;
use crate::objective::masked::Marks;
use crate::objective::noised::{Noised, filled};
use crate::objective::pairs::{Form, Pair, batched};
use crate::preference::data::order;

/// Batches of a pass among which examples are sorted by their length.
const ALIKE: usize = 32;
/// The purpose of the draw of the order of batches of the first pass; those of later ones count down. (`u64::MAX` draws a limited
/// number of examples.)
const BATCHES: u64 = u64::MAX - 1;

/// An example as tokens.
#[derive(Debug, Clone)]
pub(crate) struct Encoded {
    /// One row, or one for each choice (of an embedding: for each of the two texts).
    rows: Vec<Row>,
    target: Target,
}

/// A row of one text or two.
#[derive(Debug, Clone, Default)]
struct Row {
    ids: Vec<u32>,
    /// Where the second text begins.
    second: usize,
}

/// What is right.
#[derive(Debug, Clone)]
enum Target {
    Label(i32),
    Number(f32),
    /// For each token of the row.
    Tags(Vec<i32>),
    /// The first and the last token.
    Ends([i32; 2]),
    /// The answer of a text.
    Pair(Pair),
    /// The answer of a dictionary.
    Said(Said),
    /// Nothing but the other row.
    Nothing,
}

/// Rows with what is right of each example.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskBatch {
    pub(crate) rows: Noised,
    /// Tokens of each row.
    pub(crate) lengths: Vec<u32>,
    /// Labels of examples; of tokens; or first and last tokens, those of all examples behind one another.
    pub(crate) labels: Vec<i32>,
    pub(crate) numbers: Vec<f32>,
    /// Rows of an example: its choices, or both orders of its texts.
    pub(crate) choices: usize,
}

/// How examples become tokens.
pub(crate) struct Encoder<'a> {
    pub(crate) task: &'a TaskTable,
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) kind: Kind,
    pub(crate) form: Form,
    pub(crate) marks: Marks,
    /// What a decoder's rows begin with.
    pub(crate) start: Option<u32>,
    pub(crate) context: usize,
    /// Labels by name.
    pub(crate) labels: &'a BTreeMap<String, i32>,
}

/// Tokens of a frame around two texts.
const FRAME: usize = 3;

impl Encoder<'_> {
    /// The example as tokens; nothing where it does not fit the task, or the answer was cut off.
    pub(crate) fn encode(&self, example: &Example) -> Result<Option<Encoded>, TrainError> {
        let task = &example.task;
        let label = |answer: &str| self.labels.get(answer).copied();
        let one = |row, target| Some(Encoded { rows: vec![row], target });
        Ok(match self.task {
            TaskTable::Classification { both_orders } => match label(&task.answer.words()) {
                Some(label) => Some(Encoded { rows: self.rows(task, *both_orders)?, target: Target::Label(label) }),
                None => None,
            },
            TaskTable::Regression {} => match task.answer.number() {
                Some(number) => one(self.row(&task.text, task.pair.as_deref())?, Target::Number(number as f32)),
                None => None,
            },
            TaskTable::MultipleChoice {} => self.choices(task)?,
            TaskTable::Tagging {} => self.tagged(task)?,
            TaskTable::Extraction {} => self.extraction(task)?,
            TaskTable::Embedding { .. } => match &task.pair {
                Some(pair) => Some(Encoded {
                    rows: vec![self.row(&task.text, None)?, self.row(pair, None)?],
                    target: Target::Nothing,
                }),
                None => None,
            },
            TaskTable::Dictionary {} => {
                let said = Said::new(task, self.tokenizer)?;
                (said.len() <= self.context).then(|| Encoded { rows: Vec::new(), target: Target::Said(said) })
            }
            TaskTable::Text { prefix } => Some(self.text(prefix, task)?),
        })
    }

    /// The row of an example, or those of both orders of its two texts.
    fn rows(&self, task: &Task, both_orders: bool) -> Result<Vec<Row>, TrainError> {
        let row = self.row(&task.text, task.pair.as_deref())?;
        match task.pair.as_ref().filter(|_| both_orders) {
            Some(pair) => Ok(vec![row, self.row(pair, Some(&task.text))?]),
            None => Ok(vec![row]),
        }
    }

    fn row(&self, first: &str, second: Option<&str>) -> Result<Row, TrainError> {
        let first = self.tokenizer.encode(first)?;
        let second = second.map(|second| self.tokenizer.encode(second)).transpose()?;
        Ok(self.framed(&first, second.as_deref()))
    }

    /// `[CLS] first [SEP] second [SEP]`; a decoder, which judges a row by its end, reads `<s> first [SEP] second [CLS]` (Radford et al.
    /// 2018, section 3.3: start, delimiter, extract). The longer of both texts loses its end where they are too long.
    fn framed(&self, first: &[u32], second: Option<&[u32]>) -> Row {
        let room = self.context.saturating_sub(FRAME);
        let rest = second.unwrap_or_default();
        let (mut a, mut b) = (first.len(), rest.len());
        while a + b > room {
            if a >= b { a -= 1 } else { b -= 1 }
        }
        let Marks { cls, sep, .. } = self.marks;
        let (start, extract) = if self.kind == Kind::Decoder { (self.start, cls) } else { (Some(cls), sep) };
        let mut ids: Vec<u32> = start.into_iter().chain(first[..a].iter().copied()).collect();
        let begins = ids.len() + 1;
        if second.is_some() {
            ids.push(sep);
            ids.extend(&rest[..b]);
        }
        ids.push(extract);
        Row { ids, second: begins }
    }

    fn choices(&self, task: &Task) -> Result<Option<Encoded>, TrainError> {
        let rows =
            task.choices.iter().map(|choice| self.row(&task.text, Some(choice))).collect::<Result<Vec<_>, _>>()?;
        let right = task.answer.number().filter(|_| !rows.is_empty());
        Ok(right.map(|right| Encoded { rows, target: Target::Label(right as i32) }))
    }

    /// The first token of each word has its label, the others none (arXiv:1810.04805, section 5.3).
    fn tagged(&self, task: &Task) -> Result<Option<Encoded>, TrainError> {
        let Answer::Tags(tags) = &task.answer else { return Ok(None) };
        let (mut ids, mut labels) = (Vec::new(), Vec::new());
        for (n, (word, tag)) in task.text.split_whitespace().zip(tags).enumerate() {
            let tokens = self.tokenizer.encode(&if n == 0 { word.to_owned() } else { format!(" {word}") })?;
            labels.extend((0..tokens.len()).map(|at| if at == 0 { self.labels.get(tag).copied() } else { None }));
            ids.extend(tokens);
        }
        let row = self.framed(&ids, None);
        let before = usize::from(self.kind != Kind::Decoder || self.start.is_some());
        let label = |at: usize| labels.get(at.wrapping_sub(before)).copied().flatten().unwrap_or(IGNORE);
        let tags = (0..row.ids.len()).map(label).collect();
        Ok(Some(Encoded { rows: vec![row], target: Target::Tags(tags) }))
    }

    /// Tokens from where the answer begins in the second text up to where it ends; nothing where it does not stand there.
    fn extraction(&self, task: &Task) -> Result<Option<Encoded>, TrainError> {
        let (Some(text), Answer::Text(answer)) = (&task.pair, &task.answer) else { return Ok(None) };
        let Some(at) = text.find(answer.as_str()).filter(|_| !answer.is_empty()) else { return Ok(None) };
        let ids = self.tokenizer.encode(text)?;
        let Some([from, to]) = covering(self.tokenizer, &ids, [at, at + answer.len()]) else { return Ok(None) };
        let row = self.framed(&self.tokenizer.encode(&task.text)?, Some(&ids));
        let (from, to) = (row.second + from, row.second + to);
        let fits = to + 1 < row.ids.len();
        Ok(fits.then(|| Encoded { rows: vec![row], target: Target::Ends([from as i32, to as i32]) }))
    }

    fn text(&self, prefix: &str, task: &Task) -> Result<Encoded, TrainError> {
        let end = self.marks.sep;
        let closed = |text: &str, room: usize| -> Result<Vec<u32>, TrainError> {
            let mut ids = self.tokenizer.encode(text)?;
            ids.truncate(room.saturating_sub(1));
            ids.push(end);
            Ok(ids)
        };
        let room = if self.form == Form::Decoder { self.context / 2 } else { self.context };
        let pair =
            Pair { source: closed(&text_source(prefix, task), room)?, target: closed(&task.answer.words(), room)? };
        Ok(Encoded { rows: Vec::new(), target: Target::Pair(pair) })
    }
}

/// The first and the last of `ids` that hold the bytes from `from` to `to` of their text.
fn covering(tokenizer: &Tokenizer, ids: &[u32], [from, to]: [usize; 2]) -> Option<[usize; 2]> {
    let mut at = 0;
    let mut ends = Vec::with_capacity(ids.len());
    for &id in ids {
        at += tokenizer.token_bytes(id)?.len();
        ends.push(at);
    }
    let first = ends.partition_point(|&end| end <= from);
    let last = ends.partition_point(|&end| end < to);
    (last < ids.len()).then_some([first, last])
}

/// Examples in batches.
pub(crate) struct Examples {
    pub(crate) examples: Vec<Encoded>,
    pub(crate) batch_size: usize,
    pub(crate) seed: u64,
    pub(crate) pad: u32,
    pub(crate) form: Form,
    epoch: Option<(u64, Vec<usize>)>,
}

impl Examples {
    pub(crate) fn new(examples: Vec<Encoded>, (batch_size, seed): (usize, u64), (pad, form): (u32, Form)) -> Self {
        Self { examples, batch_size, seed, pad, form, epoch: None }
    }

    /// The order of a pass: rows are filled up to the longest of their batch, so a batch is cut from examples of like length. Only
    /// the last batch may be smaller, and stays the last.
    fn alike(&self, epoch: u64) -> Vec<usize> {
        let mut drawn = order(self.seed, epoch, self.examples.len());
        for window in drawn.chunks_mut(ALIKE * self.batch_size) {
            window.sort_by_key(|&n| self.examples[n].length());
        }
        let full = drawn.chunks_exact(self.batch_size);
        let rest = full.remainder();
        let full: Vec<&[usize]> = full.collect();
        let places = order(self.seed, BATCHES - epoch, full.len());
        places.iter().flat_map(|&n| full[n]).chain(rest).copied().collect()
    }

    fn of(&self, order: &[usize], index: u64) -> TaskBatch {
        let from = (index as usize * self.batch_size).min(order.len());
        let to = (from + self.batch_size).min(order.len());
        let examples: Vec<&Encoded> = order[from..to].iter().map(|&n| &self.examples[n]).collect();
        self.batched(&examples)
    }

    fn batched(&self, examples: &[&Encoded]) -> TaskBatch {
        let pairs: Vec<Pair> = examples.iter().filter_map(|example| example.pair().cloned()).collect();
        if !pairs.is_empty() {
            return TaskBatch { rows: batched(&pairs, self.form, self.pad), ..TaskBatch::default() };
        }
        let said: Vec<&Said> = examples.iter().filter_map(|example| example.said()).collect();
        if !said.is_empty() {
            return TaskBatch { rows: dictionary::batched(&said, self.pad), ..TaskBatch::default() };
        }
        let rows: Vec<&Row> = examples.iter().flat_map(|example| &example.rows).collect();
        let longest = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0).max(1);
        let mut batch = TaskBatch {
            lengths: rows.iter().map(|row| row.ids.len() as u32).collect(),
            choices: examples.first().map_or(1, |example| example.rows.len()),
            rows: Noised { batch_size: rows.len(), ids: filled(&column(&rows), self.pad), ..Noised::default() },
            ..TaskBatch::default()
        };
        // A decoder sees what stands before alone, so padding behind does not matter to it.
        if self.form != Form::Decoder {
            let ends = batch.lengths.iter().flat_map(|&length| std::iter::repeat_n(length, longest));
            batch.rows.ends = ends.collect();
            let segment =
                |row: &&Row| (0..longest).map(|at| u32::from(at >= row.second && at < row.ids.len())).collect();
            batch.rows.segments = rows.iter().flat_map(|row| -> Vec<u32> { segment(row) }).collect();
        }
        for example in examples {
            example.target.add(longest, &mut batch);
        }
        if let Some(Encoded { target: Target::Ends(_), .. }) = examples.first() {
            // The beginnings of all answers, then their ends.
            let (starts, ends): (Vec<i32>, Vec<i32>) =
                batch.labels.chunks_exact(2).map(|ends| (ends[0], ends[1])).unzip();
            batch.labels = starts.into_iter().chain(ends).collect();
        }
        batch
    }
}

fn column(rows: &[&Row]) -> Vec<Vec<u32>> {
    rows.iter().map(|row| row.ids.clone()).collect()
}

impl Encoded {
    /// Source and target, where the answer is text.
    pub(crate) fn pair(&self) -> Option<&Pair> {
        if let Target::Pair(pair) = &self.target { Some(pair) } else { None }
    }

    fn said(&self) -> Option<&Said> {
        if let Target::Said(said) = &self.target { Some(said) } else { None }
    }

    /// Rows that it takes.
    pub(crate) fn n_rows(&self) -> usize {
        self.rows.len()
    }

    /// Tokens of its longest row, or of both sides of its pair.
    fn length(&self) -> usize {
        let rows = self.rows.iter().map(|row| row.ids.len()).max().unwrap_or(0);
        let said = self.said().map_or(rows, Said::len);
        self.pair().map_or(said, |pair| pair.source.len() + pair.target.len())
    }
}

impl Target {
    fn add(&self, longest: usize, batch: &mut TaskBatch) {
        match self {
            Self::Label(label) => batch.labels.push(*label),
            Self::Number(number) => batch.numbers.push(*number),
            Self::Ends(ends) => batch.labels.extend(ends),
            Self::Tags(tags) => {
                batch.labels.extend(tags.iter().copied().chain(std::iter::repeat_n(IGNORE, longest - tags.len())));
            }
            Self::Pair(_) | Self::Said(_) | Self::Nothing => {}
        }
    }
}

impl Batches for Examples {
    type Batch = TaskBatch;

    fn batch(&mut self, index: u64) -> TaskBatch {
        let per_pass = self.batches_per_pass();
        let epoch = index / per_pass;
        if self.epoch.as_ref().is_none_or(|(at, _)| *at != epoch) {
            self.epoch = Some((epoch, self.alike(epoch)));
        }
        self.of(self.epoch.as_ref().map_or(&[][..], |(_, order)| order), index % per_pass)
    }

    fn batches_per_pass(&mut self) -> u64 {
        self.examples.len().div_ceil(self.batch_size).max(1) as u64
    }

    fn pass_batch(&mut self, index: u64) -> TaskBatch {
        let order: Vec<usize> = (0..self.examples.len()).collect();
        self.of(&order, index)
    }
}

#[cfg(test)]
mod tests {
    use super::{Encoded, Examples, Form, Row, Target};
    use crate::objective::Batches;

    /// Examples whose only row has their number as its first token and a length that changes widely from one to the next.
    fn examples(count: u32) -> Examples {
        let row = |n: u32| Row { ids: vec![n; 1 + (n * 7919 % 61) as usize], second: 0 };
        let all = (0..count).map(|n| Encoded { rows: vec![row(n)], target: Target::Label(0) }).collect();
        Examples::new(all, (8, 5), (0, Form::Decoder))
    }

    #[test]
    fn every_pass_has_each_example_once_and_little_padding() {
        let mut examples = examples(1003);
        let per_pass = examples.batches_per_pass();
        let mut orders = Vec::new();
        for pass in 0..2 {
            let batches: Vec<_> = (0..per_pass).map(|n| examples.batch(pass * per_pass + n)).collect();
            let width = |ids: usize, rows: usize| ids / rows;
            let firsts: Vec<u32> = batches
                .iter()
                .flat_map(|b| b.rows.ids.chunks(width(b.rows.ids.len(), b.rows.batch_size)).map(|row| row[0]))
                .collect();
            let tokens: u32 = batches.iter().flat_map(|b| &b.lengths).sum();
            let shown: usize = batches.iter().map(|b| b.rows.ids.len()).sum();
            assert!((shown as f64) < 1.2 * f64::from(tokens), "{shown} places for {tokens} tokens");
            let mut sorted = firsts.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..1003).collect::<Vec<u32>>());
            orders.push(firsts);
        }
        assert_ne!(orders[0], orders[1]);
    }
}
