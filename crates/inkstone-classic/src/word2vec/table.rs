//! Vectors in shards that threads may change at the same time.

use inkstone_formats::safetensors::{TensorFile, TensorView};
use inkstone_kernels::ROW_LANES;

/// Row `id` is in the shard `id % SHARDS`. Part of how work is cut, hence of the results' bytes; never of the
/// number of threads.
pub(crate) const SHARDS: usize = 16;

/// A row in a shard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) shard: usize,
    pub(crate) row: usize,
}

impl Place {
    #[inline]
    pub(crate) fn of(id: u32) -> Self {
        Self { shard: id as usize % SHARDS, row: id as usize / SHARDS }
    }
}

/// A table of vectors. Rows are filled up with zeros to whole lanes; zeros stay zeros.
#[derive(Debug)]
pub(crate) struct Table {
    shards: Vec<Vec<f32>>,
    /// Numbers in each shard.
    lengths: Vec<[usize; 1]>,
    width: usize,
}

impl Table {
    /// Rows of `size` numbers given by `value(row, column)`.
    pub(crate) fn new(rows: usize, size: usize, mut value: impl FnMut(usize, usize) -> f32) -> Self {
        let width = size.next_multiple_of(ROW_LANES);
        let mut shards = vec![Vec::new(); SHARDS];
        for row in 0..rows {
            let shard = &mut shards[row % SHARDS];
            shard.extend((0..width).map(|column| if column < size { value(row, column) } else { 0.0 }));
        }
        let lengths = shards.iter().map(|shard| [shard.len()]).collect();
        Self { shards, lengths, width }
    }

    #[inline]
    fn row(&self, id: u32) -> &[f32] {
        let Place { shard, row } = Place::of(id);
        &self.shards[shard][row * self.width..][..self.width]
    }

    pub(crate) fn shards_mut(&mut self) -> &mut [Vec<f32>] {
        &mut self.shards
    }

    /// All rows without the zeros.
    pub(crate) fn rows(&self, rows: usize, size: usize) -> Vec<f32> {
        (0..rows as u32).flat_map(|id| &self.row(id)[..size]).copied().collect()
    }

    /// Numbers in a row, zeros included.
    #[inline]
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Appends a row to `to`.
    #[inline]
    pub(crate) fn gather(&self, id: u32, to: &mut Vec<f32>) {
        to.extend_from_slice(self.row(id));
    }

    /// What a checkpoint is written from.
    pub(crate) fn views(&self, name: &str) -> Vec<(String, TensorView<'_>)> {
        let shards = self.shards.iter().zip(&self.lengths).enumerate();
        shards.map(|(n, (shard, length))| (format!("{name}.{n}"), TensorView::f32(length, shard))).collect()
    }

    /// A table of the same size with the numbers of a checkpoint, if it has as many.
    pub(crate) fn read(&self, name: &str, file: &TensorFile) -> Option<Self> {
        let shard = |(n, old): (usize, &Vec<f32>)| {
            file.f32(&format!("{name}.{n}")).ok().filter(|values| values.len() == old.len())
        };
        let shards = self.shards.iter().enumerate().map(shard).collect::<Option<_>>()?;
        Some(Self { shards, lengths: self.lengths.clone(), width: self.width })
    }
}
