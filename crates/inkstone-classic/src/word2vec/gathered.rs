//! The rows that one window reads.

use super::config::Architecture;
use super::outputs::Outputs;
use super::table::Table;
use super::windows::Window;
use crate::random::Draws;

/// The rows of a window, side by side.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// The vectors of the words around, or their mean alone.
    pub(crate) x: Vec<f32>,
    /// The output vectors.
    pub(crate) w: Vec<f32>,
    /// The rows of the output table that they are.
    pub(crate) rows: Vec<u32>,
    /// 1 where an output should answer yes, else 0.
    pub(crate) labels: Vec<f32>,
}

impl Gathered {
    /// Reads what `window` needs; `false` if there is nothing to learn from it.
    pub(crate) fn fill(
        &mut self,
        (inputs, outputs): (&Table, &Table),
        targets: &Outputs,
        (window, draws): (&Window<'_>, &mut Draws),
        architecture: Architecture,
    ) -> bool {
        targets.of(window.center, draws, &mut self.rows, &mut self.labels);
        self.x.clear();
        self.w.clear();
        window.context().for_each(|id| inputs.gather(id, &mut self.x));
        if architecture == Architecture::Cbow {
            mean(&mut self.x, inputs.width());
        }
        self.rows.iter().for_each(|&id| outputs.gather(id, &mut self.w));
        !self.x.is_empty() && !self.w.is_empty()
    }
}

/// Leaves the mean of the rows.
fn mean(x: &mut Vec<f32>, width: usize) {
    let rows = x.len() / width;
    if rows == 0 {
        return;
    }
    let (sum, others) = x.split_at_mut(width);
    for row in others.chunks_exact(width) {
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    for sum in sum.iter_mut() {
        *sum /= rows as f32;
    }
    x.truncate(width);
}
