//! A product cut into tiles of its output, one task each.

use rayon::prelude::*;

use crate::Precision;
use crate::bf16::round;
use crate::product::{Extent, View, ViewMut, product};
use crate::scratch::Scratch;

/// Products with fewer multiplications than this are not worth a second thread.
const SMALL: usize = 1 << 18;
/// Largest tile: tall enough that copying an operand's block costs little beside its products, small
/// enough that the output of a weight gradient is shared between threads.
const TILE: [usize; 2] = [512, 512];
/// A side that fits one tile is still halved from here on.
const HALVED: usize = 128;
/// Rows from which turning a transposed second operand beforehand is cheaper than in every tile.
const TURNED: usize = 64;

/// `out = a · b`.
///
/// # Safety
/// The views cover `extent` inside live slices; nobody else touches `out`.
pub(crate) unsafe fn tiled(out: ViewMut, a: View, b: View, extent: Extent, precision: Precision) {
    let Extent { rows, columns, depth } = extent;
    if rows == 0 || columns == 0 {
        return;
    }
    let bf16 = precision == Precision::Bf16;
    let copied = bf16 || (b.column != 1 && rows >= TURNED);
    let mut copy = Scratch::take(if copied { depth * columns } else { 0 });
    if copied {
        // SAFETY: `b` covers depth × columns by the caller's promise.
        unsafe { copy_of(&mut copy, b, columns, bf16) };
    }
    let b = if copied { View::rows(&copy, columns) } else { b };
    let small = rows * columns * depth < SMALL;
    let [tall, wide] = if small { [rows, columns] } else { [tile(rows, TILE[0]), tile(columns, TILE[1])] };
    let across = columns.div_ceil(wide);
    let run = |task: usize| {
        let (row, column) = (task / across * tall, task % across * wide);
        let extent = Extent { rows: tall.min(rows - row), columns: wide.min(columns - column), depth };
        // SAFETY: the tile lies inside the product, and no two tiles overlap.
        unsafe { tile_product(out.at(row, column), a.at(row, 0), b.at(0, column), extent, bf16) };
    };
    (0..rows.div_ceil(tall) * across).into_par_iter().for_each(run);
}

/// Length of the tiles of a side.
fn tile(side: usize, largest: usize) -> usize {
    let count = side.div_ceil(largest).max(if side >= HALVED { 2 } else { 1 });
    side.div_ceil(count).next_multiple_of(64)
}

/// # Safety
/// As for [`product`].
unsafe fn tile_product(out: ViewMut, a: View, b: View, extent: Extent, bf16: bool) {
    let Extent { rows, depth, .. } = extent;
    if !bf16 {
        // SAFETY: the caller's promise.
        return unsafe { product(out, a, b, extent, false) };
    }
    let mut copy = Scratch::take(rows * depth);
    let turned = a.column != 1;
    // SAFETY: `a` covers rows × depth; the copy covers the same, in the order of `a` in memory.
    unsafe {
        if turned {
            copy_of(&mut copy, a.transposed(), rows, true);
            product(out, View::rows(&copy, rows).transposed(), b, extent, false);
        } else {
            copy_of(&mut copy, a, depth, true);
            product(out, View::rows(&copy, depth), b, extent, false);
        }
    }
}

/// Side of the squares in which a matrix is turned: a cache line of f32.
const SQUARE: usize = 16;

/// A row-major copy of a matrix with `columns` columns, rounded to bfloat16 or not.
///
/// # Safety
/// `from` covers as many rows as fit in `to`, and its elements are adjacent along rows or columns.
unsafe fn copy_of(to: &mut [f32], from: View, columns: usize, bf16: bool) {
    debug_assert!(from.column == 1 || from.row == 1, "strided both ways: {from:?}");
    let strip = if from.column == 1 { copy_strip } else { turn_strip };
    to.par_chunks_mut((columns * SQUARE).max(1)).enumerate().for_each(|(n, to)| {
        // SAFETY: the strip lies inside the matrix.
        unsafe { strip(to, from.at(n * SQUARE, 0), columns, bf16) }
    });
}

/// A row-major copy of a matrix with `columns` columns of adjacent elements, on this thread.
///
/// # Safety
/// `from` covers as many rows as fit in `to`, and its elements are adjacent along columns.
pub(crate) unsafe fn turned_copy(to: &mut [f32], from: View, columns: usize) {
    for (n, to) in to.chunks_mut((columns * SQUARE).max(1)).enumerate() {
        // SAFETY: the strip lies inside the matrix.
        unsafe { turn_strip(to, from.at(n * SQUARE, 0), columns, false) };
    }
}

/// # Safety
/// As for [`copy_of`]; rows of `from` are adjacent elements.
unsafe fn copy_strip(to: &mut [f32], from: View, columns: usize, bf16: bool) {
    for (row, to) in to.chunks_exact_mut(columns).enumerate() {
        // SAFETY: the row lies inside the matrix.
        let from = unsafe { std::slice::from_raw_parts(from.at(row, 0).pointer, columns) };
        if bf16 { round(to, from) } else { to.copy_from_slice(from) }
    }
}

/// # Safety
/// As for [`copy_of`]; columns of `from` are adjacent elements; at most [`SQUARE`] rows.
unsafe fn turn_strip(to: &mut [f32], from: View, columns: usize, bf16: bool) {
    let height = to.len() / columns;
    for left in (0..columns).step_by(SQUARE) {
        let width = SQUARE.min(columns - left);
        let mut square = [[0.0; SQUARE]; SQUARE];
        for column in 0..width {
            // SAFETY: the part of the column lies inside the matrix.
            let from = unsafe { std::slice::from_raw_parts(from.at(0, left + column).pointer, height) };
            for (row, &value) in square.iter_mut().zip(from) {
                row[column] = value;
            }
        }
        for (to, row) in to.chunks_exact_mut(columns).zip(&square) {
            let to = &mut to[left..left + width];
            if bf16 { round(to, &row[..width]) } else { to.copy_from_slice(&row[..width]) }
        }
    }
}
