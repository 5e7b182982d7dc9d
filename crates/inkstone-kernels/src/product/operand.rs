//! An operand of a product on its way into panels.

use std::ops::Range;

use rayon::prelude::*;

use super::STEPS;
use super::pack::{GROUP, Part, in_group, in_lanes, in_steps, is_group};
use super::tile::{Element, Tile};
use super::view::View;
use crate::Precision;
use crate::scratch::Scratch;

/// Depth of a part that one thread packs, where neighbours in depth are far apart in memory.
const SLICE: usize = 64;
/// Depth that is packed at a time across all panels, while the lines of memory that hold it are in the cache.
const LEVELS: usize = 16;

/// A matrix whose rows are lanes: those of the first operand, the columns of the second.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    /// Lanes by depth.
    pub(super) from: View,
    pub(super) lanes: usize,
    pub(super) depth: usize,
    /// Lanes of a panel.
    pub(super) width: usize,
    pub(super) element: Element,
}

/// Memory that several threads fill.
#[derive(Clone, Copy)]
pub(super) struct Words {
    pointer: *mut u32,
    length: usize,
}

// SAFETY: whoever writes to the words proves that nobody else touches them at the time.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    pub(super) fn of(scratch: &mut Scratch) -> Self {
        let words = scratch.words();
        Self { pointer: words.as_mut_ptr(), length: words.len() }
    }

    /// # Safety
    /// The memory is live and nobody else touches the words of the range.
    unsafe fn slice<'a>(self, range: Range<usize>) -> &'a mut [u32] {
        assert!(range.start <= range.end && range.end <= self.length, "{range:?} of {} words", self.length);
        // SAFETY: the range lies inside; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(range.start), range.len()) }
    }
}

impl Operand {
    /// Whether neighbouring lanes are adjacent in memory, and not neighbours in depth.
    pub(super) fn turned(&self) -> bool {
        self.from.column != 1
    }

    /// Panels side by side.
    pub(super) fn panels(&self) -> usize {
        self.lanes.div_ceil(self.width)
    }

    /// Depth of a panel.
    fn deepest(&self) -> usize {
        STEPS * self.element.depth()
    }

    fn size(&self) -> usize {
        STEPS * self.width
    }

    /// Words of all panels, in order of depth, then of lanes.
    pub(super) fn words(&self) -> usize {
        self.depth.div_ceil(self.deepest()) * self.panels() * self.size()
    }

    /// Words of what is packed before the product begins, of a first operand.
    pub(super) fn ahead(&self) -> usize {
        if self.turned() { self.words() } else { 0 }
    }

    /// Parts that are packed before the product begins, of a first operand.
    pub(super) fn parts_ahead(&self) -> usize {
        if self.turned() { self.parts() } else { 0 }
    }

    /// Parts that can be packed by different threads: slices of the depth, or panels.
    pub(super) fn parts(&self) -> usize {
        if self.turned() { self.depth.div_ceil(SLICE) } else { self.depth.div_ceil(self.deepest()) * self.panels() }
    }

    /// Packs part `n` into the panels `to`.
    ///
    /// # Safety
    /// The operand lies inside a live slice; `to` holds [`Self::words`], and nobody else touches the part.
    pub(super) unsafe fn pack_part(&self, to: Words, n: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            if self.turned() {
                let first = n * SLICE;
                for level in (first..self.depth.min(first + SLICE)).step_by(LEVELS) {
                    self.pack_levels(to, level, LEVELS.min(self.depth - level));
                }
            } else {
                let (deep, panel) = (n / self.panels(), n % self.panels());
                let to = to.slice(n * self.size()..(n + 1) * self.size());
                in_steps(to, &self.panel(deep, panel), self.width, self.element);
            }
        }
    }

    /// Packs a few levels of all panels.
    ///
    /// # Safety
    /// As for [`Self::pack_part`].
    unsafe fn pack_levels(&self, to: Words, level: usize, depth: usize) {
        let (deep, inside) = (level / self.deepest(), level % self.deepest());
        let begin = deep * self.panels() * self.size() + inside / self.element.depth() * self.width;
        let size = depth.div_ceil(self.element.depth()) * self.width;
        // SAFETY: the caller's promise.
        let lines = |panel: usize| unsafe { to.slice(begin + panel * self.size()..begin + panel * self.size() + size) };
        let mut panel = 0;
        while panel < self.panels() {
            let lane = panel * self.width;
            let lanes = self.lanes - lane;
            // SAFETY: the part lies inside the operand, and the panels are different ones.
            unsafe {
                if is_group(self.width, lanes, depth, self.element) {
                    let part = self.part(lane, GROUP * self.width, level, depth);
                    in_group(std::array::from_fn(|n| lines(panel + n)), &part);
                    panel += GROUP;
                } else {
                    let part = self.part(lane, self.width.min(lanes), level, depth);
                    in_steps(lines(panel), &part, self.width, self.element);
                    panel += 1;
                }
            }
        }
    }

    /// Packs the panels of a first operand whose rows are adjacent elements, over so many levels, at most those of a panel.
    ///
    /// # Safety
    /// The operand lies inside a live slice; `to` holds so many panels, and nobody else touches it.
    pub(super) unsafe fn pack_panels(&self, to: Words, levels: Range<usize>, panels: Range<usize>) {
        for (n, panel) in panels.enumerate() {
            let lane = panel * self.width;
            let part = self.part(lane, self.width.min(self.lanes - lane), levels.start, levels.len());
            // SAFETY: the caller's promise.
            unsafe { in_lanes(to.slice(n * self.size()..(n + 1) * self.size()), &part, self.element) };
        }
    }

    /// All of one panel.
    fn panel(&self, deep: usize, panel: usize) -> Part {
        let (lane, depth) = (panel * self.width, deep * self.deepest());
        self.part(lane, self.width.min(self.lanes - lane), depth, self.deepest().min(self.depth - depth))
    }

    fn part(&self, lane: usize, lanes: usize, level: usize, depth: usize) -> Part {
        Part { from: self.from.at(lane, level), lanes, lane: self.from.row, deep: self.from.column, depth }
    }
}

/// A second operand in panels, for any number of products.
pub(crate) struct Panels {
    pub(super) operand: Operand,
    pub(super) precision: Precision,
    words: Scratch,
}

impl Panels {
    /// Packs `b[depth, columns]`, with the help of other threads or alone.
    ///
    /// # Safety
    /// `b` covers its extent inside a live slice; elements are adjacent along rows or columns.
    pub(crate) unsafe fn pack(b: View, (depth, columns): (usize, usize), precision: Precision, parallel: bool) -> Self {
        let Tile { columns: width, element, .. } = Tile::of(precision);
        let operand = Operand { from: b.transposed(), lanes: columns, depth, width, element };
        let mut words = Scratch::take(operand.words());
        let to = Words::of(&mut words);
        // SAFETY: the caller's promise; no two parts overlap.
        let pack = |n| unsafe { operand.pack_part(to, n) };
        if parallel {
            (0..operand.parts()).into_par_iter().with_max_len(1).for_each(pack);
        } else {
            (0..operand.parts()).for_each(pack);
        }
        Self { operand, precision, words }
    }

    pub(super) fn words(&self) -> &[u32] {
        self.words.as_words()
    }
}
