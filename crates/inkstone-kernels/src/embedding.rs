//! Rows of a table by id.

use rayon::prelude::*;

use crate::elementwise::add_to;
use crate::expect_len;
use crate::profile::{Work, span};

/// Rows per task.
const ROWS: usize = 64;

/// Rows of the table per task of the backward pass: each looks at all ids.
const TABLE_ROWS: usize = 512;

/// `y[n, :] = table[ids[n], :]`, rows of `width`.
///
/// # Panics
/// If a length does not fit or an id is outside the table.
pub fn embedding(y: &mut [f32], table: &[f32], ids: &[u32], width: usize) {
    expect_len("y", y.len(), ids.len() * width);
    if width == 0 {
        return;
    }
    expect_ids(ids, table.len() / width);
    let _span = span("embedding", || Work::moving(2 * size_of_val(y)));
    y.par_chunks_mut(ROWS * width).zip(ids.par_chunks(ROWS)).for_each(|(y, ids)| {
        for (y, &id) in y.chunks_exact_mut(width).zip(ids) {
            y.copy_from_slice(&table[id as usize * width..][..width]);
        }
    });
}

/// `dtable[id, :] = Σ dy[n, :]` over the positions `n` with that id, in the order of positions.
///
/// # Panics
/// If a length does not fit or an id is outside the table.
pub fn embedding_backward(dtable: &mut [f32], dy: &[f32], ids: &[u32], width: usize) {
    expect_len("dy", dy.len(), ids.len() * width);
    let _span = span("embedding, gradient", || Work::moving(size_of_val(dtable) + 3 * size_of_val(dy)));
    if width == 0 {
        return;
    }
    expect_ids(ids, dtable.len() / width);
    dtable.par_chunks_mut(TABLE_ROWS * width).enumerate().for_each(|(n, part)| {
        part.fill(0.0);
        let first = n * TABLE_ROWS;
        for (dy, &id) in dy.chunks_exact(width).zip(ids) {
            if let Some(row) = (id as usize).checked_sub(first).and_then(|id| part.chunks_exact_mut(width).nth(id)) {
                add_to(row, dy);
            }
        }
    });
}

#[track_caller]
fn expect_ids(ids: &[u32], rows: usize) {
    let outside = ids.iter().position(|&id| id as usize >= rows);
    if let Some(n) = outside {
        panic!("id {} at position {n} is outside the table of {rows} rows", ids[n]);
    }
}
