//! Cuts a product into panels, blocks and tasks.

use half::bf16;
use rayon::prelude::*;

use super::STEPS;
use super::operand::{Operand, Words};
use super::tile::{LARGEST, Tile};
use super::view::{Extent, View, ViewMut};
use crate::Precision;
use crate::number::{load, store};
use crate::scratch::Scratch;

/// Products with fewer multiplications than this are not worth a second thread.
const SMALL: usize = 1 << 18;
/// Rows of a block, whose panels stay in the second-level cache.
const BLOCK_ROWS: usize = 96;
/// Columns of a task are not cut shorter than this.
const BLOCK_COLUMNS: usize = 128;
/// Tasks for each thread, so that the last ones are short beside the whole. Rows are packed once for each task that they are in.
const TASKS: usize = 4;

/// How a product is computed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) precision: Precision,
    /// Whether the product is added to the output instead of replacing it.
    pub(crate) accumulate: bool,
    /// Whether other threads may help.
    pub(crate) parallel: bool,
}

/// `out = a · b`, or `out += a · b`.
///
/// # Safety
/// All three views cover their extents inside live slices; elements are adjacent along rows or columns in
/// `a` and `b`, and along columns in `out`; no other thread touches `out`'s elements during the call.
pub(crate) unsafe fn product(out: ViewMut, a: View, b: View, extent: Extent, plan: Plan) {
    let Extent { rows, columns, depth } = extent;
    debug_assert!(out.column == 1 || columns < 2, "the output's rows are adjacent elements");
    if rows == 0 || columns == 0 {
        return;
    }
    let tile = Tile::of(plan.precision);
    let [a, b] = [(a, rows, tile.rows), (b.transposed(), columns, tile.columns)]
        .map(|(from, lanes, width)| Operand { from, lanes, depth, width, element: tile.element });
    let job = Job { out, a, b, extent, tile, accumulate: plan.accumulate };
    if depth == 0 {
        // SAFETY: the caller's promise.
        return unsafe { job.clear() };
    }
    let parallel = plan.parallel && rows * columns * depth >= SMALL && rayon::current_num_threads() > 0;
    // SAFETY: the caller's promise.
    unsafe { if parallel { job.shared() } else { job.alone() } }
}

struct Job {
    out: ViewMut,
    a: Operand,
    b: Operand,
    extent: Extent,
    tile: Tile,
    accumulate: bool,
}

/// A share of the output.
#[derive(Clone, Copy)]
struct Block {
    row: usize,
    rows: usize,
    /// Panels of `b`, from and to.
    panel: usize,
    panels: usize,
}

/// What is packed of the operands: all of `b`, and of `a` where its columns are adjacent in memory; its rows are packed by whoever
/// multiplies them.
struct Packed<'a> {
    a: Option<&'a [u32]>,
    b: &'a [u32],
}

impl Job {
    /// # Safety
    /// As for [`product`].
    unsafe fn clear(&self) {
        if !self.accumulate {
            for row in 0..self.extent.rows {
                let (line, columns) = (self.out.at(row, 0), self.extent.columns);
                // SAFETY: the row lies inside the output.
                unsafe {
                    if line.half {
                        line.line::<bf16>(columns).fill(bf16::ZERO);
                    } else {
                        line.line::<f32>(columns).fill(0.0);
                    }
                }
            }
        }
    }

    /// Elements of depth.
    fn steps(&self) -> usize {
        self.extent.depth.div_ceil(self.tile.element.depth())
    }

    /// Rows of a block: whole tiles.
    fn tall(&self) -> usize {
        BLOCK_ROWS / self.tile.rows * self.tile.rows
    }

    /// # Safety
    /// As for [`product`].
    unsafe fn alone(&self) {
        let (mut b, mut a) = (Scratch::take(self.b.words()), Scratch::take(self.a.ahead()));
        // SAFETY: the caller's promise.
        let packed = unsafe {
            (0..self.b.parts()).for_each(|n| self.b.pack_part(Words::of(&mut b), n));
            (0..self.a.parts_ahead()).for_each(|n| self.a.pack_part(Words::of(&mut a), n));
            Packed { a: self.a.turned().then(|| &*a.words()), b: b.words() }
        };
        for row in (0..self.extent.rows).step_by(self.tall()) {
            let rows = self.tall().min(self.extent.rows - row);
            // SAFETY: the caller's promise.
            unsafe { self.block(&packed, Block { row, rows, panel: 0, panels: self.b.panels() }) };
        }
    }

    /// # Safety
    /// As for [`product`].
    unsafe fn shared(&self) {
        let (mut b, mut a) = (Scratch::take(self.b.words()), Scratch::take(self.a.ahead()));
        let (to_b, to_a, first) = (Words::of(&mut b), Words::of(&mut a), self.b.parts());
        (0..first + self.a.parts_ahead()).into_par_iter().with_max_len(1).for_each(|n| {
            // SAFETY: the caller's promise; no two parts overlap.
            unsafe { if n < first { self.b.pack_part(to_b, n) } else { self.a.pack_part(to_a, n - first) } };
        });
        let packed = Packed { a: self.a.turned().then(|| &*a.words()), b: b.words() };
        let down = self.extent.rows.div_ceil(self.tall());
        let most = (self.extent.columns / BLOCK_COLUMNS).max(1);
        let wide = self.b.panels().div_ceil((TASKS * rayon::current_num_threads()).div_ceil(down).min(most));
        let across = self.b.panels().div_ceil(wide);
        (0..down * across).into_par_iter().with_max_len(1).for_each(|task| {
            let (row, panel) = (task / across * self.tall(), task % across * wide);
            let rows = self.tall().min(self.extent.rows - row);
            // SAFETY: no two blocks overlap.
            unsafe { self.block(&packed, Block { row, rows, panel, panels: wide.min(self.b.panels() - panel) }) };
        });
    }

    /// One block of the output over the whole depth.
    ///
    /// # Safety
    /// As for [`product`]; nobody else touches the block.
    unsafe fn block(&self, packed: &Packed<'_>, block: Block) {
        // SAFETY: the caller's promise.
        unsafe {
            if self.out.half {
                self.half_block(packed, block);
            } else {
                self.sums(packed, block, self.out);
            }
        }
    }

    /// One block whose sums are rounded when they are complete.
    ///
    /// # Safety
    /// As for [`Self::block`].
    unsafe fn half_block(&self, packed: &Packed<'_>, block: Block) {
        let column = block.panel * self.tile.columns;
        let columns = (block.panels * self.tile.columns).min(self.extent.columns - column);
        let mut sums = Scratch::take(block.rows * columns);
        if self.accumulate {
            for (n, sums) in sums.chunks_exact_mut(columns).enumerate() {
                // SAFETY: the line lies inside the block.
                load(sums, unsafe { self.out.at(block.row + n, column).line::<bf16>(columns) });
            }
        }
        let target = ViewMut::rows(&mut sums, columns);
        let start = (block.row * columns + column) as isize * size_of::<f32>() as isize;
        // SAFETY: the view is at home at the block's first element, and only the block is written.
        unsafe { self.sums(packed, block, ViewMut { pointer: target.pointer.wrapping_offset(-start), ..target }) };
        for (n, sums) in sums.chunks_exact(columns).enumerate() {
            // SAFETY: the line lies inside the block.
            store(unsafe { self.out.at(block.row + n, column).line::<bf16>(columns) }, sums);
        }
    }

    /// The sums of one block, to `out` in f32.
    ///
    /// # Safety
    /// As for [`Self::block`].
    unsafe fn sums(&self, packed: &Packed<'_>, block: Block, out: ViewMut) {
        let tile = &self.tile;
        let run = if self.a.turned() { tile.turned } else { tile.straight };
        let (first, panels) = (block.row / tile.rows, block.rows.div_ceil(tile.rows));
        let (tall, wide) = (STEPS * tile.rows, STEPS * tile.columns);
        let mut own = Scratch::take(if packed.a.is_some() { 0 } else { panels * tall });
        let mut edge = [0.0; LARGEST];
        for (deep, columns) in packed.b.chunks_exact(wide * self.b.panels()).enumerate() {
            let steps = STEPS.min(self.steps() - deep * STEPS);
            let rows = match packed.a {
                Some(a) => &a[(deep * self.a.panels() + first) * tall..][..panels * tall],
                None => {
                    // SAFETY: the block lies inside the product.
                    unsafe { self.a.pack_panels(Words::of(&mut own), deep, first..first + panels) };
                    &*own.words()
                }
            };
            let add = self.accumulate || deep > 0;
            for (across, b) in columns.chunks_exact(wide).enumerate().skip(block.panel).take(block.panels) {
                for (down, a) in rows.chunks_exact(tall).enumerate() {
                    let at = (block.row + down * tile.rows, across * tile.columns);
                    // SAFETY: both panels hold `steps`.
                    unsafe {
                        self.tile_at(out.at(at.0, at.1), at, (add, &mut edge), |out, stride, add| {
                            run(a.as_ptr(), b.as_ptr(), steps, out, stride, add);
                        });
                    };
                }
            }
        }
    }

    /// Lets `run` write the tile at (row, column), which is at `out`; one that reaches over the edge by way of `edge`.
    ///
    /// # Safety
    /// As for [`product`]; nobody else touches the tile.
    #[inline(always)]
    unsafe fn tile_at(
        &self,
        out: ViewMut,
        (row, column): (usize, usize),
        (add, edge): (bool, &mut [f32; LARGEST]),
        run: impl Fn(*mut f32, usize, bool),
    ) {
        let (rows, columns) = (self.extent.rows - row, self.extent.columns - column);
        if rows >= self.tile.rows && columns >= self.tile.columns {
            return run(out.pointer.cast(), out.row as usize, add);
        }
        run(edge.as_mut_ptr(), self.tile.columns, false);
        for (n, from) in edge.chunks_exact(self.tile.columns).take(rows.min(self.tile.rows)).enumerate() {
            let width = columns.min(self.tile.columns);
            // SAFETY: the part of the row lies inside the output.
            let to = unsafe { out.at(n, 0).line::<f32>(width) };
            for (to, from) in to.iter_mut().zip(from) {
                *to = if add { *to + from } else { *from };
            }
        }
    }
}
