//! Preferences as tokens, and batches of them.

use inkstone_corpus::Split;
use inkstone_corpus::chat::{Message, Role};
use inkstone_corpus::preferences::{Preference, read_preferences};
use inkstone_recipe::{Context, StageError};
use inkstone_tokenizer::Tokenizer;
use std::path::Path;

use crate::TrainError;
use crate::objective::Batches;

/// A conversation as tokens; a label is the next token where the assistant says it, else negative.
#[derive(Debug, Clone)]
pub(crate) struct Encoded {
    pub(crate) ids: Vec<u32>,
    pub(crate) labels: Vec<i32>,
    /// Log-probability of what is labelled under the reference.
    pub(crate) reference: f64,
}

impl Encoded {
    /// A prompt and an answer to it, which alone is labelled.
    pub(crate) fn answer(prompt: &[u32], answer: &[u32]) -> Self {
        let all: Vec<u32> = prompt.iter().chain(answer).copied().collect();
        let labels = (1..all.len()).map(|at| if at >= prompt.len() { all[at] as i32 } else { -1 }).collect();
        Self { ids: all[..all.len() - 1].to_vec(), labels, reference: 0.0 }
    }
}

/// A record as tokens.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) chosen: Option<Encoded>,
    pub(crate) rejected: Option<Encoded>,
    /// The answer beside another record's prompt.
    pub(crate) mismatched: Option<Encoded>,
    pub(crate) margin: f64,
}

/// Records of a split in batches.
#[derive(Debug)]
pub(crate) struct Pairs {
    pub(crate) pairs: Vec<Pair>,
    pub(crate) batch_size: usize,
    pub(crate) seed: u64,
    pub(crate) left_out: usize,
    epoch: Option<(u64, Vec<usize>)>,
}

/// How records become batches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) batch_size: usize,
    pub(crate) context: usize,
    pub(crate) seed: u64,
    pub(crate) paired: bool,
}

impl Pairs {
    /// Reads a split of a `preferences` artifact. Records that do not fit into the context are left out and counted, as are
    /// those without a pair where pairs are wanted.
    pub(crate) fn read(
        artifact: &Path,
        split: Split,
        tokenizer: &Tokenizer,
        reading: Reading,
    ) -> Result<Self, TrainError> {
        let records: Vec<Preference> = read_preferences(artifact, split)?.collect::<Result<_, _>>()?;
        let (mut pairs, mut left_out) = (Vec::new(), 0);
        for (n, record) in records.iter().enumerate() {
            let other = &records[(n + 1) % records.len()];
            match encode(record, other, tokenizer, reading)? {
                Some(pair) => pairs.push(pair),
                None => left_out += 1,
            }
        }
        Ok(Self { pairs, batch_size: reading.batch_size, seed: reading.seed, left_out, epoch: None })
    }

    /// Whether there is anything to learn from; tells what was left out.
    pub(crate) fn check(&self, paired: bool, context: &Context<'_>) -> Result<(), StageError> {
        if self.left_out > 0 {
            let (out, all) = (self.left_out, self.left_out + self.pairs.len());
            let why = "longer than the context, or without a pair";
            context.progress.warn(&format!("{out} of {all} records are left out: {why}"));
        }
        if self.pairs.is_empty() {
            let hint = "raise `context`, or give pairs";
            return Err(StageError::failed("no record of `preferences` can be learnt from", hint));
        }
        let good = self.pairs.iter().any(|pair| pair.chosen.is_some());
        let bad = self.pairs.iter().any(|pair| pair.rejected.is_some());
        if !(paired || good && bad) {
            let hint = "give answers of both kinds: from one kind there is nothing to tell apart";
            return Err(StageError::failed("all answers of `preferences` have the same label", hint));
        }
        Ok(())
    }

    fn slice(&self, order: &[usize], batch: u64) -> Vec<Pair> {
        let from = (batch as usize * self.batch_size).min(order.len());
        let to = (from + self.batch_size).min(order.len());
        order[from..to].iter().map(|&n| self.pairs[n].clone()).collect()
    }
}

impl Batches for Pairs {
    type Batch = Vec<Pair>;

    fn batch(&mut self, index: u64) -> Vec<Pair> {
        let per_pass = self.batches_per_pass();
        let epoch = index / per_pass;
        if self.epoch.as_ref().is_none_or(|(at, _)| *at != epoch) {
            self.epoch = Some((epoch, order(self.seed, epoch, self.pairs.len())));
        }
        let order = self.epoch.as_ref().map_or(&[][..], |(_, order)| order);
        self.slice(order, index % per_pass)
    }

    fn batches_per_pass(&mut self) -> u64 {
        self.pairs.len().div_ceil(self.batch_size).max(1) as u64
    }

    fn pass_batch(&mut self, index: u64) -> Vec<Pair> {
        let order: Vec<usize> = (0..self.pairs.len()).collect();
        self.slice(&order, index)
    }
}

/// `0..n` in an order that is drawn from (seed, epoch).
pub(crate) fn order(seed: u64, epoch: u64, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_cached_key(|&at| draw([seed, epoch, at as u64]));
    order
}

/// Bytes that are drawn from three numbers.
pub(crate) fn draw(words: [u64; 3]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for word in words {
        hasher.update(&word.to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// Rows of equal length: ids and labels, filled up on the right with `pad` and without labels.
pub(crate) fn padded(rows: &[&Encoded], pad: u32) -> (Vec<u32>, Vec<i32>) {
    let longest = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0);
    let (mut ids, mut labels) = (Vec::new(), Vec::new());
    for row in rows {
        ids.extend(row.ids.iter().copied().chain(std::iter::repeat_n(pad, longest - row.ids.len())));
        labels.extend(row.labels.iter().copied().chain(std::iter::repeat_n(-1, longest - row.labels.len())));
    }
    (ids, labels)
}

fn encode(
    record: &Preference,
    other: &Preference,
    tokenizer: &Tokenizer,
    reading: Reading,
) -> Result<Option<Pair>, TrainError> {
    let answers = &record.answers;
    let answered = |prompt: &[Message], answer: &Option<String>| match answer {
        Some(answer) => conversation(prompt, answer, tokenizer, reading.context).map(Some),
        None => Ok(None),
    };
    let (chosen, rejected) =
        (answered(&answers.prompt, &answers.chosen)?, answered(&answers.prompt, &answers.rejected)?);
    let fits = |side: &Option<Option<Encoded>>| side.as_ref().is_none_or(Option::is_some);
    if !fits(&chosen) || !fits(&rejected) || (reading.paired && (chosen.is_none() || rejected.is_none())) {
        return Ok(None);
    }
    let mismatched = if reading.paired {
        None
    } else {
        answered(&other.answers.prompt, if answers.chosen.is_some() { &answers.chosen } else { &answers.rejected })?
    };
    Ok(Some(Pair {
        chosen: chosen.flatten(),
        rejected: rejected.flatten(),
        mismatched: mismatched.flatten(),
        margin: answers.margin.unwrap_or(0.0),
    }))
}

/// A prompt and its answer; nothing where they are longer than `context`. Only the last answer is labelled.
fn conversation(
    prompt: &[Message],
    answer: &str,
    tokenizer: &Tokenizer,
    context: usize,
) -> Result<Option<Encoded>, TrainError> {
    let answer = Message { role: Role::Assistant, content: answer.to_owned() };
    let messages: Vec<Message> = prompt.iter().cloned().chain([answer]).collect();
    let (ids, mask) = tokenizer.encode_training(&messages)?;
    if ids.len() > context + 1 || ids.len() < 2 {
        return Ok(None);
    }
    // Earlier turns of the assistant are common to both answers.
    let end = mask.iter().rposition(|&said| said).map_or(0, |at| at + 1);
    let start = mask[..end].iter().rposition(|&said| !said).map_or(0, |at| at + 1);
    let labels = (1..ids.len()).map(|at| if (start..end).contains(&at) { ids[at] as i32 } else { -1 }).collect();
    Ok(Some(Encoded { ids: ids[..ids.len() - 1].to_vec(), labels, reference: 0.0 }))
}
