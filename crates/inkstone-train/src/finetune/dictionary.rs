//! Examples as dictionaries, `{"input": …, "<ans>": …}`, for a model that reads them (CPM-Bee): what is given sees all of itself, the
//! answer is said behind it.

use inkstone_corpus::examples::Task;
use inkstone_corpus::loader::IGNORE;
use inkstone_models::{Dictionary, DictionaryMarks};
use inkstone_tokenizer::Tokenizer;
use serde_json::{Map, Value, json};

use crate::TrainError;
use crate::objective::noised::{Branches, Noised, filled, labels_of};

/// A dictionary with its answer behind it.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    ids: Vec<u32>,
    labels: Vec<i32>,
    segments: Vec<u32>,
    relations: Vec<u32>,
    /// Tokens that are given.
    given: usize,
}

impl Said {
    pub(crate) fn new(task: &Task, tokenizer: &Tokenizer) -> Result<Self, TrainError> {
        let marks = marks(tokenizer)?;
        let read = Dictionary::read(&dictionary(task), marks, &mut |text| -> Result<_, TrainError> {
            Ok(tokenizer.encode(text)?)
        })?;
        let given = read.ids.len();
        let (mut ids, mut labels, mut segments) = (read.ids, vec![IGNORE; given], read.segments);
        for blank in &read.blanks {
            let answer = tokenizer.encode(&blank.text)?;
            labels.extend(labels_of(&answer).chain(labels_of(&[marks.end])));
            ids.push(marks.begin);
            ids.extend(answer);
            segments.resize(ids.len(), blank.segment);
        }
        Ok(Self { ids, labels, segments, relations: read.relations, given })
    }

    /// Tokens of the row.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }
}

/// The special tokens of dictionaries.
pub fn marks(tokenizer: &Tokenizer) -> Result<DictionaryMarks, TrainError> {
    let named =
        |token: &str| tokenizer.token_id(token).ok_or_else(|| TrainError::NoSpecialToken { token: token.to_owned() });
    let end = tokenizer.eos().map_or_else(|| named("</s>"), Ok)?;
    let begin = tokenizer.token_id("<s>").or(tokenizer.bos()).unwrap_or(end);
    Ok(DictionaryMarks { root: named("<root>")?, begin, end, answer: named("<ans>")? })
}

/// An example of whatever task as a dictionary.
fn dictionary(task: &Task) -> Value {
    let mut made = Map::from_iter([("input".to_owned(), json!(task.text))]);
    if let Some(pair) = &task.pair {
        made.insert("pair".to_owned(), json!(pair));
    }
    if !task.choices.is_empty() {
        let options = task.choices.iter().enumerate().map(|(n, choice)| (n.to_string(), json!(choice)));
        made.insert("options".to_owned(), Value::Object(options.collect()));
    }
    made.insert("<ans>".to_owned(), json!(task.answer.words()));
    Value::Object(made)
}

/// A batch of dictionaries.
pub(crate) fn batched(rows: &[&Said], pad: u32) -> Noised {
    let column = |of: fn(&Said) -> &Vec<u32>| rows.iter().map(|row| of(row).clone()).collect::<Vec<_>>();
    let longest = rows.iter().map(|row| row.len()).max().unwrap_or(0).max(1);
    let end = |row: &Said, at: usize| if at < row.len() { row.given.max(at + 1) } else { at + 1 };
    let ends = rows.iter().flat_map(|row| (0..longest).map(move |at| end(row, at) as u32));
    let count = rows.iter().map(|row| row.relations.len().isqrt()).max().unwrap_or(1);
    Noised {
        batch_size: rows.len(),
        ids: filled(&column(|row| &row.ids), pad),
        labels: filled(&rows.iter().map(|row| row.labels.clone()).collect::<Vec<_>>(), IGNORE),
        ends: ends.collect(),
        tree: Some(Branches {
            segments: filled(&column(|row| &row.segments), 0),
            relations: rows.iter().flat_map(|row| widened(&row.relations, count)).collect(),
        }),
        ..Noised::default()
    }
}

/// A square of `[m, m]` in one of `[count, count]`.
fn widened(relations: &[u32], count: usize) -> Vec<u32> {
    let m = relations.len().isqrt();
    let at = |n: usize| if n / count < m && n % count < m { relations[n / count * m + n % count] } else { 0 };
    (0..count * count).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::{IGNORE, Said, batched};

    #[test]
    fn rows_see_what_is_given_and_squares_grow_to_the_largest() {
        let one = Said {
            ids: vec![5, 6, 7, 8],
            labels: vec![IGNORE, IGNORE, 8, 9],
            segments: vec![0, 0, 1, 1],
            relations: vec![0, 2, 9, 0],
            given: 2,
        };
        let other = Said { ids: vec![5], labels: vec![3], segments: vec![0], relations: vec![0], given: 1 };
        let batch = batched(&[&one, &other], 0);
        assert_eq!(batch.ids, [5, 6, 7, 8, 5, 0, 0, 0]);
        assert_eq!(batch.ends, [2, 2, 3, 4, 1, 2, 3, 4]);
        let tree = batch.tree.expect("dictionaries have segments");
        assert_eq!(tree.segments, [0, 0, 1, 1, 0, 0, 0, 0]);
        assert_eq!(tree.relations, [0, 2, 9, 0, 0, 0, 0, 0]);
    }
}
