//! Cuts a product into panels, blocks and tasks.

use std::sync::atomic::{AtomicUsize, Ordering};

use half::bf16;
use rayon::prelude::*;

use super::STEPS;
use super::operand::{Operand, Panels, Words};
use super::tile::{LARGEST, Tile};
use super::view::{Extent, View, ViewMut};
use crate::Precision;
use crate::number::{Number, load, store};
use crate::scratch::Scratch;

/// Products with fewer multiplications than this are not worth a second thread.
const SMALL: usize = 1 << 18;
/// Rows of a block, whose panels stay in the second-level cache.
const BLOCK_ROWS: usize = 96;
/// Columns of a task are not cut shorter than this.
const BLOCK_COLUMNS: usize = 128;
/// Tasks for each thread, so that the last ones are short beside the whole. Rows are packed once for each task that they are in.
const TASKS: usize = 4;
/// The same where rows are packed before.
const TURNED_TASKS: usize = 16;

/// Panels of columns that a task of a product of few rows takes.
const NARROW_PANELS: usize = 2;

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
    if rows == 0 || columns == 0 {
        return;
    }
    if rows <= Tile::of(plan.precision).rows && plan.helped(extent) {
        // SAFETY: the caller's promise.
        return unsafe { narrow(out, (a, b), extent, plan) };
    }
    // SAFETY: the caller's promise.
    unsafe {
        let b = Panels::pack(b, (depth, columns), plan.precision, plan.helped(extent));
        multiply(out, a, Corner { panels: &b, column: 0, level: 0 }, extent, plan);
    }
}

/// A product of few rows, bound by reading `b`: each task packs a few columns, which stay in its cache, and multiplies them at once.
///
/// # Safety
/// As for [`product`].
unsafe fn narrow(out: ViewMut, (a, b): (View, View), extent: Extent, plan: Plan) {
    let wide = NARROW_PANELS * Tile::of(plan.precision).columns;
    (0..extent.columns.div_ceil(wide)).into_par_iter().for_each(|task| {
        let column = task * wide;
        let part = Extent { columns: wide.min(extent.columns - column), ..extent };
        // SAFETY: the parts lie inside the product and share no column.
        unsafe { product(out.at(0, column), a, b.at(0, column), part, Plan { parallel: false, ..plan }) };
    });
}

/// A part of a packed operand, from a column that begins a panel and a level that begins an element on.
#[derive(Clone, Copy)]
pub(crate) struct Corner<'a> {
    pub(crate) panels: &'a Panels,
    pub(crate) column: usize,
    pub(crate) level: usize,
}

/// As [`product`], with `b` already in panels.
///
/// # Safety
/// As for [`product`]; the corner has the extent's columns and depth, and begins at level 0 unless the rows of `a` are adjacent elements.
pub(crate) unsafe fn multiply(out: ViewMut, a: View, b: Corner<'_>, extent: Extent, plan: Plan) {
    let Extent { rows, columns, depth } = extent;
    debug_assert!(out.column == 1 || columns < 2, "the output's rows are adjacent elements");
    let tile = Tile::of(plan.precision);
    assert!(b.panels.precision == plan.precision, "the panels are in another precision");
    assert!(b.column + columns <= b.panels.operand.lanes && b.level + depth <= b.panels.operand.depth);
    assert!(b.column.is_multiple_of(tile.columns) && b.level.is_multiple_of(tile.element.depth()));
    if rows == 0 || columns == 0 {
        return;
    }
    let a = Operand { from: a, lanes: rows, depth, width: tile.rows, element: tile.element };
    assert!(b.level == 0 || !a.turned(), "columns of the first operand are packed from level 0 on");
    let job = Job { out, a, b, extent, tile, accumulate: plan.accumulate };
    // SAFETY: the caller's promise.
    unsafe {
        if depth == 0 {
            job.clear();
        } else if plan.helped(extent) {
            job.shared();
        } else {
            job.alone();
        }
    }
}

impl Plan {
    /// Whether other threads help.
    fn helped(self, Extent { rows, columns, depth }: Extent) -> bool {
        self.parallel && rows * columns * depth >= SMALL
    }
}

struct Job<'a> {
    out: ViewMut,
    a: Operand,
    b: Corner<'a>,
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

impl Job<'_> {
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

    /// Panels of the output's columns.
    fn panels(&self) -> usize {
        self.extent.columns.div_ceil(self.tile.columns)
    }

    /// Rows of a block: whole tiles.
    fn tall(&self) -> usize {
        BLOCK_ROWS / self.tile.rows * self.tile.rows
    }

    /// # Safety
    /// As for [`product`].
    unsafe fn alone(&self) {
        let mut a = Scratch::take(self.a.ahead());
        // SAFETY: the caller's promise.
        (0..self.a.parts_ahead()).for_each(|n| unsafe { self.a.pack_part(Words::of(&mut a), n) });
        for row in (0..self.extent.rows).step_by(self.tall()) {
            let rows = self.tall().min(self.extent.rows - row);
            // SAFETY: the caller's promise.
            unsafe { self.block(a.as_words(), Block { row, rows, panel: 0, panels: self.panels() }) };
        }
    }

    /// # Safety
    /// As for [`product`].
    unsafe fn shared(&self) {
        let mut a = Scratch::take(self.a.ahead());
        let to = Words::of(&mut a);
        // SAFETY: the caller's promise; no two parts overlap.
        let pack = |n| unsafe { self.a.pack_part(to, n) };
        (0..self.a.parts_ahead()).into_par_iter().with_max_len(1).for_each(pack);
        let (blocks, next) = (self.blocks(rayon::current_num_threads()), AtomicUsize::new(0));
        (0..rayon::current_num_threads()).into_par_iter().with_max_len(1).for_each(|_| {
            while let Some(&block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
                // SAFETY: no two blocks overlap, and each is taken once.
                unsafe { self.block(a.as_words(), block) };
            }
        });
    }

    /// The whole output, the largest blocks first.
    fn blocks(&self, threads: usize) -> Vec<Block> {
        let (tall, down) = (self.tall(), self.extent.rows.div_ceil(self.tall()));
        let across = |tasks: usize, narrowest: usize| {
            let most = (self.extent.columns / narrowest).max(1);
            self.panels().div_ceil((tasks * threads).div_ceil(down).min(most))
        };
        let (wide, narrow) = if self.a.turned() {
            [across(TURNED_TASKS, BLOCK_COLUMNS / 2); 2].into()
        } else {
            (across(TASKS, BLOCK_COLUMNS), across(2 * TASKS, BLOCK_COLUMNS).min(self.panels().div_ceil(2)))
        };
        let blocks = (0..down).flat_map(|n| {
            let wide = if n + 2 * threads < down { wide } else { narrow.min(wide) };
            let (row, rows) = (n * tall, tall.min(self.extent.rows - n * tall));
            (0..self.panels()).step_by(wide).map(move |panel| Block {
                row,
                rows,
                panel,
                panels: wide.min(self.panels() - panel),
            })
        });
        blocks.collect()
    }

    /// One block of the output over the whole depth.
    ///
    /// # Safety
    /// As for [`product`]; nobody else touches the block.
    unsafe fn block(&self, a: &[u32], block: Block) {
        // SAFETY: the caller's promise.
        unsafe {
            if self.out.half && !(self.tile.half.is_some() && self.is_shallow()) {
                self.half_block(a, block);
            } else {
                self.sums(a, block, self.out);
            }
        }
    }

    /// Whether the whole depth lies in one panel of `b`.
    fn is_shallow(&self) -> bool {
        let deepest = STEPS * self.tile.element.depth();
        self.b.level % deepest + self.extent.depth <= deepest
    }

    /// One block whose sums are rounded when they are complete.
    ///
    /// # Safety
    /// As for [`Self::block`].
    unsafe fn half_block(&self, a: &[u32], block: Block) {
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
        unsafe { self.sums(a, block, ViewMut { pointer: target.pointer.wrapping_offset(-start), ..target }) };
        for (n, sums) in sums.chunks_exact(columns).enumerate() {
            // SAFETY: the line lies inside the block.
            store(unsafe { self.out.at(block.row + n, column).line::<bf16>(columns) }, sums);
        }
    }

    /// The sums of one block, to `out`, which is in f32 where they take several panels; `packed` are the panels of `a` where its columns are adjacent in memory, not its rows.
    ///
    /// # Safety
    /// As for [`Self::block`].
    unsafe fn sums(&self, packed: &[u32], block: Block, out: ViewMut) {
        let (tile, element) = (&self.tile, self.tile.element.depth());
        let single = tile.single.of(self.a.turned());
        let run = tile.half.filter(|_| out.half).map_or(single, |half| half.of(self.a.turned()));
        let (first, panels) = (block.row / tile.rows, block.rows.div_ceil(tile.rows));
        let (tall, wide) = (STEPS * tile.rows, STEPS * tile.columns);
        let mut own = Scratch::take(if self.a.turned() { 0 } else { panels * tall });
        let mut edge = [0.0; LARGEST];
        let mut level = 0;
        while level < self.extent.depth {
            // The levels that lie in one panel of `b`.
            let (deep, inside) =
                ((self.b.level + level) / (STEPS * element), (self.b.level + level) % (STEPS * element));
            let depth = (STEPS * element - inside).min(self.extent.depth - level);
            let rows = if self.a.turned() {
                &packed[(deep * self.a.panels() + first) * tall..][..panels * tall]
            } else {
                // SAFETY: the block lies inside the product.
                unsafe { self.a.pack_panels(Words::of(&mut own), level..level + depth, first..first + panels) };
                own.as_words()
            };
            let b = &self.b.panels.words()[deep * self.b.panels.operand.panels() * wide..];
            let b = b.chunks_exact(wide).skip(self.b.column / tile.columns);
            let add = self.accumulate || level > 0;
            for (across, b) in b.enumerate().skip(block.panel).take(block.panels) {
                let b = &b[inside / element * tile.columns..];
                for (down, a) in rows.chunks_exact(tall).enumerate() {
                    let at = (block.row + down * tile.rows, across * tile.columns);
                    // SAFETY: both panels hold so many steps.
                    unsafe {
                        let steps = depth.div_ceil(element);
                        let whole = |out, stride, add| run(a.as_ptr(), b.as_ptr(), steps, out, stride, add);
                        let cut =
                            |edge: *mut f32, stride| single(a.as_ptr(), b.as_ptr(), steps, edge.cast(), stride, false);
                        self.tile_at(out.at(at.0, at.1), at, (add, &mut edge), (whole, cut));
                    };
                }
            }
            level += depth;
        }
    }

    /// Lets `whole` write the tile at (row, column), which is at `out`; one that reaches over the edge is written by `cut` to `edge` first.
    ///
    /// # Safety
    /// As for [`product`]; nobody else touches the tile.
    #[inline(always)]
    unsafe fn tile_at(
        &self,
        out: ViewMut,
        (row, column): (usize, usize),
        (add, edge): (bool, &mut [f32; LARGEST]),
        (whole, cut): (impl Fn(*mut u8, usize, bool), impl Fn(*mut f32, usize)),
    ) {
        let (rows, columns) = (self.extent.rows - row, self.extent.columns - column);
        if rows >= self.tile.rows && columns >= self.tile.columns {
            return whole(out.pointer, out.row as usize, add);
        }
        cut(edge.as_mut_ptr(), self.tile.columns);
        for (n, from) in edge.chunks_exact(self.tile.columns).take(rows.min(self.tile.rows)).enumerate() {
            let from = &from[..columns.min(self.tile.columns)];
            // SAFETY: the part of the row lies inside the output.
            unsafe {
                if out.half {
                    write(out.at(n, 0).line::<bf16>(from.len()), from, add);
                } else {
                    write(out.at(n, 0).line::<f32>(from.len()), from, add);
                }
            }
        }
    }
}

/// Writes the sums, or adds them to what is there.
fn write<N: Number>(to: &mut [N], sums: &[f32], add: bool) {
    for (to, sum) in to.iter_mut().zip(sums) {
        *to = N::from_f32(if add { to.to_f32() + sum } else { *sum });
    }
}
