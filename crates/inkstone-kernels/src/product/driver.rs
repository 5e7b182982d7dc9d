//! Cuts a product into panels, blocks and tasks.

use half::bf16;
use rayon::prelude::*;

use super::STEPS;
use super::pack::{Part, in_lanes, in_steps};
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

/// Depth that is packed at a time across the panels of a block.
const LEVELS: usize = 16;

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
    a: View,
    b: View,
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

    fn column_panels(&self) -> usize {
        self.extent.columns.div_ceil(self.tile.columns)
    }

    /// # Safety
    /// As for [`product`].
    unsafe fn alone(&self) {
        let mut packed = Scratch::take(self.steps().div_ceil(STEPS) * self.column_panels() * STEPS * self.tile.columns);
        let size = STEPS * self.tile.columns;
        for (n, panel) in packed.words().chunks_exact_mut(size).enumerate() {
            // SAFETY: the caller's promise.
            unsafe { self.pack_columns(panel, n) };
        }
        let tall = BLOCK_ROWS / self.tile.rows * self.tile.rows;
        for row in (0..self.extent.rows).step_by(tall) {
            let rows = tall.min(self.extent.rows - row);
            // SAFETY: the caller's promise.
            unsafe { self.block(packed.words(), Block { row, rows, panel: 0, panels: self.column_panels() }) };
        }
    }

    /// # Safety
    /// As for [`product`].
    unsafe fn shared(&self) {
        let size = STEPS * self.tile.columns;
        let mut packed = Scratch::take(self.steps().div_ceil(STEPS) * self.column_panels() * size);
        packed.words().par_chunks_exact_mut(size).enumerate().for_each(|(n, panel)| {
            // SAFETY: the caller's promise.
            unsafe { self.pack_columns(panel, n) };
        });
        let packed: &[u32] = packed.words();
        let tall = BLOCK_ROWS / self.tile.rows * self.tile.rows;
        let down = self.extent.rows.div_ceil(tall);
        let most = (self.extent.columns / BLOCK_COLUMNS).max(1);
        let wide = self.column_panels().div_ceil((TASKS * rayon::current_num_threads()).div_ceil(down).min(most));
        let across = self.column_panels().div_ceil(wide);
        (0..down * across).into_par_iter().for_each(|task| {
            let (row, panel) = (task / across * tall, task % across * wide);
            let rows = tall.min(self.extent.rows - row);
            // SAFETY: no two blocks overlap.
            unsafe { self.block(packed, Block { row, rows, panel, panels: wide.min(self.column_panels() - panel) }) };
        });
    }

    /// Packs panel `n` of `b`; they are in order of depth, then of columns.
    ///
    /// # Safety
    /// As for [`product`].
    unsafe fn pack_columns(&self, panel: &mut [u32], n: usize) {
        let (deep, across) = (n / self.column_panels(), n % self.column_panels());
        let (depth, column) = (deep * STEPS * self.tile.element.depth(), across * self.tile.columns);
        let part = Part {
            from: self.b.at(depth, column),
            lanes: self.tile.columns.min(self.extent.columns - column),
            lane: self.b.column,
            deep: self.b.row,
            depth: (STEPS * self.tile.element.depth()).min(self.extent.depth - depth),
        };
        // SAFETY: the part lies inside `b`.
        unsafe { in_steps(panel, &part, self.tile.columns, self.tile.element) };
    }

    /// Packs the rows of a block over one panel's depth.
    ///
    /// # Safety
    /// As for [`product`].
    unsafe fn pack_rows(&self, panels: &mut [u32], block: Block, depth: usize) {
        let (tile, element) = (&self.tile, self.tile.element);
        let deepest = (STEPS * element.depth()).min(self.extent.depth - depth);
        // Where the block's rows are adjacent in memory, all panels take a few levels while those are in the cache.
        let slice = if self.a.column == 1 { deepest } else { LEVELS };
        for level in (0..deepest).step_by(slice) {
            for (n, panel) in panels.chunks_exact_mut(STEPS * tile.rows).enumerate() {
                let row = block.row + n * tile.rows;
                let part = Part {
                    from: self.a.at(row, depth + level),
                    lanes: tile.rows.min(self.extent.rows - row),
                    lane: self.a.row,
                    deep: self.a.column,
                    depth: slice.min(deepest - level),
                };
                let to = &mut panel[level / element.depth() * tile.rows..];
                // SAFETY: the part lies inside `a`.
                unsafe {
                    if self.a.column == 1 {
                        in_lanes(to, &part, element);
                    } else {
                        in_steps(to, &part, tile.rows, element);
                    }
                }
            }
        }
    }

    /// One block of the output over the whole depth.
    ///
    /// # Safety
    /// As for [`product`]; nobody else touches the block.
    unsafe fn block(&self, packed: &[u32], block: Block) {
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
    unsafe fn half_block(&self, packed: &[u32], block: Block) {
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
    unsafe fn sums(&self, packed: &[u32], block: Block, out: ViewMut) {
        let tile = &self.tile;
        let run = if self.a.column == 1 { tile.straight } else { tile.turned };
        let row_panels = block.rows.div_ceil(tile.rows);
        let mut rows = Scratch::take(row_panels * tile.rows * STEPS);
        let mut edge = [0.0; LARGEST];
        let size = STEPS * tile.columns;
        for (deep, columns) in packed.chunks_exact(size * self.column_panels()).enumerate() {
            let steps = STEPS.min(self.steps() - deep * STEPS);
            // SAFETY: the block lies inside the product.
            unsafe { self.pack_rows(rows.words(), block, deep * STEPS * tile.element.depth()) };
            let add = self.accumulate || deep > 0;
            let panels = columns.chunks_exact(size).enumerate().skip(block.panel).take(block.panels);
            for (across, b) in panels {
                for (down, a) in rows.words().chunks_exact(STEPS * tile.rows).enumerate() {
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
