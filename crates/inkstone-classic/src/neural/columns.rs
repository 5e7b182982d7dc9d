//! A text laid in columns that are read side by side.

use super::language_model::LanguageModel;

/// A text in columns: `columns[b]` goes on where its last stretch ended.
pub(super) struct Columns<'a> {
    text: &'a [u32],
    pub(super) rows: usize,
    length: usize,
}

impl<'a> Columns<'a> {
    pub(super) fn new(text: &'a [u32], rows: usize) -> Self {
        Self { text, rows, length: text.len() / rows }
    }

    /// Predictions of a column.
    pub(super) fn predicted(&self) -> usize {
        self.length.saturating_sub(1)
    }

    /// Ids and labels of `steps` steps from `from` on, `[T·B]`.
    pub(super) fn stretch(&self, from: usize, steps: usize) -> (Vec<u32>, Vec<i32>) {
        let steps = steps.min(self.predicted() - from);
        let at = |t: usize| (0..self.rows).map(move |b| b * self.length + from + t);
        let ids = (0..steps).flat_map(at).map(|n| self.text[n]).collect();
        let labels = (0..steps).flat_map(at).map(|n| self.text[n + 1] as i32).collect();
        (ids, labels)
    }
}

/// Tokens of a text that are evaluated at once.
const STRETCH: usize = 256;
/// Columns that a long text is evaluated in, as in PyTorch's word language model.
const COLUMNS: usize = 10;

/// The mean loss (nats) of a held-out text: where it is long, read in ten columns of equal length, the rest left out.
pub fn mean_loss<M: LanguageModel>(network: &M, text: &[u32]) -> f64 {
    let rows = if text.len() < COLUMNS * STRETCH { 1 } else { COLUMNS };
    let columns = Columns::new(text, rows);
    let mut state = network.begin(rows);
    let starts = (0..columns.predicted()).step_by(STRETCH.div_ceil(rows));
    let losses = starts.map(|from| {
        let (ids, labels) = columns.stretch(from, STRETCH.div_ceil(rows));
        total(&network.losses(&ids, &labels, &mut state))
    });
    losses.sum::<f64>() / (columns.predicted() * rows) as f64
}

/// A text in stretches: ids with their labels.
pub(crate) fn stream(text: &[u32]) -> impl Iterator<Item = (&[u32], Vec<i32>)> {
    let inputs = &text[..text.len().saturating_sub(1)];
    let labels = text.get(1..).unwrap_or_default();
    inputs
        .chunks(STRETCH)
        .zip(labels.chunks(STRETCH))
        .map(|(ids, labels)| (ids, labels.iter().map(|&label| label as i32).collect()))
}

pub(super) fn total(losses: &[f32]) -> f64 {
    losses.iter().map(|&loss| f64::from(loss)).sum()
}
