//! Tokens before every document that no tokenizer knows: their embeddings are learnt (prompt tuning, arXiv:2104.08691).

use std::sync::Arc;

use crate::pass::Pass;

/// A batch with virtual tokens before each of its documents, in rows of equal length again.
pub(crate) struct Expanded {
    pub(crate) ids: Vec<u32>,
    /// The first position that each may see, in its row.
    pub(crate) starts: Vec<u32>,
    /// The end of what each of an encoder may see.
    pub(crate) ends: Option<Vec<u32>>,
    /// The segment of each of an encoder.
    pub(crate) segments: Option<Vec<u32>>,
    /// The two positions of each, where a model has two.
    pub(crate) places: Option<Vec<[u32; 2]>>,
    /// Where the tokens of the batch are among all.
    pub(crate) real: Arc<[u32]>,
}

/// What is put before each document: how many tokens, and the id of the first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    pub(crate) count: usize,
    pub(crate) first: usize,
}

/// A row under way: for each position its id, the start of its document, and which token of the batch's row it is.
#[derive(Default)]
struct Row {
    ids: Vec<u32>,
    starts: Vec<u32>,
    from: Vec<Option<usize>>,
}

impl Expanded {
    pub(crate) fn new(ids: &[u32], batch: usize, before: Before, pass: &Pass<'_>) -> Self {
        let length = (ids.len() / batch.max(1)).max(1);
        let starts = |n: usize| pass.starts.map(|starts| &starts[n * length..(n + 1) * length]);
        let mut rows: Vec<Row> =
            ids.chunks_exact(length).enumerate().map(|(n, ids)| row(ids, starts(n), before)).collect();
        let width = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0);
        for row in &mut rows {
            let used = row.ids.len();
            row.ids.resize(width, 0);
            row.starts.resize(width, used as u32);
            row.from.resize(width, None);
        }
        let real = rows.iter().enumerate().flat_map(|(n, row)| {
            let places = row.from.iter().enumerate().filter(|(_, from)| from.is_some());
            places.map(move |(at, _)| (n * width + at) as u32)
        });
        let real = real.collect();
        let all =
            |of: &dyn Fn(usize, &Row) -> Vec<u32>| rows.iter().enumerate().flat_map(|(n, row)| of(n, row)).collect();
        let places = pass.places.map(|places| {
            let of = |(n, row): (usize, &Row)| row.places(&places[n * length..(n + 1) * length], before.count as u32);
            rows.iter().enumerate().flat_map(of).collect()
        });
        Self {
            real,
            places,
            ends: pass.ends.map(|ends| all(&|n, row| row.ends(&ends[n * length..(n + 1) * length]))),
            segments: pass.segments.map(|segments| {
                all(&|n, row| row.from.iter().map(|from| from.map_or(0, |at| segments[n * length + at])).collect())
            }),
            ids: all(&|_, row| row.ids.clone()),
            starts: all(&|_, row| row.starts.clone()),
        }
    }
}

fn row(ids: &[u32], starts: Option<&[u32]>, before: Before) -> Row {
    let mut row = Row::default();
    let mut start = 0;
    for (at, &id) in ids.iter().enumerate() {
        if starts.map_or(0, |starts| starts[at] as usize) == at {
            start = row.ids.len() as u32;
            row.ids.extend((before.first..before.first + before.count).map(|id| id as u32));
            row.starts.extend(std::iter::repeat_n(start, before.count));
            row.from.extend(std::iter::repeat_n(None, before.count));
        }
        row.ids.push(id);
        row.starts.push(start);
        row.from.push(Some(at));
    }
    row
}

impl Row {
    /// The positions moved along: virtual tokens stand before the first place of their document.
    fn places(&self, places: &[[u32; 2]], count: u32) -> Vec<[u32; 2]> {
        let place = |(at, from): (usize, &Option<usize>)| match from {
            Some(real) => [places[*real][0] + count, places[*real][1]],
            None => [(at as u32).saturating_sub(self.starts[at]), 0],
        };
        self.from.iter().enumerate().map(place).collect()
    }

    /// The ends of what is seen, moved along with the tokens before them: `ends` are those of the row without virtual tokens. A virtual
    /// token sees what the token behind it sees.
    fn ends(&self, ends: &[u32]) -> Vec<u32> {
        let place = |end: u32| {
            self.from.iter().rposition(|from| from.is_some_and(|at| at < end as usize)).map_or(0, |at| at + 1)
        };
        let behind = |at: usize| self.from[at..].iter().flatten().next().copied();
        (0..self.from.len()).map(|at| behind(at).map_or(at + 1, |real| place(ends[real])) as u32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Before, Expanded};
    use crate::pass::{NoObserver, Pass};

    #[test]
    fn every_document_has_its_own_and_rows_are_filled_up() {
        let mut observer = NoObserver;
        let starts = [0, 0, 2, 2, 0, 0, 0, 0];
        let pass = Pass { starts: Some(&starts), ..Pass::new(&mut observer) };
        let all = Expanded::new(&[1, 2, 3, 4, 5, 6, 7, 8], 2, Before { count: 1, first: 90 }, &pass);
        assert_eq!(all.ids, [90, 1, 2, 90, 3, 4, 90, 5, 6, 7, 8, 0]);
        assert_eq!(all.starts, [0, 0, 0, 3, 3, 3, 0, 0, 0, 0, 0, 5]);
        assert_eq!(*all.real, [1, 2, 4, 5, 7, 8, 9, 10]);
    }

    #[test]
    fn ends_of_what_an_encoder_sees_move_along() {
        let mut observer = NoObserver;
        let ends = [2, 2, 3];
        let pass = Pass { ends: Some(&ends), ..Pass::new(&mut observer) };
        let all = Expanded::new(&[1, 2, 3], 1, Before { count: 2, first: 9 }, &pass);
        assert_eq!(all.ids, [9, 10, 1, 2, 3]);
        assert_eq!(all.ends.as_deref(), Some(&[4, 4, 4, 4, 5][..]));
    }
}
