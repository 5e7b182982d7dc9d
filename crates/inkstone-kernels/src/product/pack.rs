//! Packing an operand into panels.
//!
//! The first operand is cut into panels of a tile's rows, the second into panels of its columns. In a
//! panel, `lanes` are those rows or columns, and `steps` follow the depth. What lies outside of the matrix
//! is zero.

use half::bf16;

use super::STEPS;
use super::tile::Element;
use super::view::View;
use crate::bf16::rounded;
use crate::isa::{Isa, isa};
use crate::number::Number;
use crate::simd::simd_fn;

/// Part of a matrix that fills one panel.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// First element.
    pub(super) from: View,
    /// Rows or columns of the matrix in this panel, at most the panel's lanes.
    pub(super) lanes: usize,
    /// Distance between lanes, and between neighbours in depth; one of them is 1.
    pub(super) lane: isize,
    pub(super) deep: isize,
    /// Depth of the part.
    pub(super) depth: usize,
}

impl Part {
    /// # Safety
    /// The part lies inside a live slice of `N`.
    unsafe fn lane<N: Number>(&self, lane: usize) -> &[N] {
        let first = self.from.pointer.cast::<N>();
        // SAFETY: the caller's promise; the lane's elements are adjacent.
        unsafe { std::slice::from_raw_parts(first.offset(lane as isize * self.lane), self.depth) }
    }

    /// # Safety
    /// The part lies inside a live slice of `N`.
    pub(super) unsafe fn level<N: Number>(&self, depth: usize) -> &[N] {
        let first = self.from.pointer.cast::<N>();
        // SAFETY: the caller's promise; the level's elements are adjacent.
        unsafe { std::slice::from_raw_parts(first.offset(depth as isize * self.deep), self.lanes) }
    }
}

simd_fn! {
    /// `panel[lane][STEPS]`, for the first operand when its rows are adjacent elements.
    ///
    /// # Safety
    /// The part lies inside a live slice; its `deep` is 1.
    pub(super) unsafe fn in_lanes<'a>(panel: &'a mut [u32], part: &'a Part, element: Element) {
        // SAFETY: the caller's promise.
        unsafe {
            if part.from.half {
                lanes::<bf16>(panel, part, element);
            } else {
                lanes::<f32>(panel, part, element);
            }
        }
    }
}

/// # Safety
/// The part lies inside a live slice of `N`; its `deep` is 1.
#[inline(always)]
unsafe fn lanes<N: Number>(panel: &mut [u32], part: &Part, element: Element) {
    let steps = part.depth.div_ceil(element.depth());
    for (lane, panel) in panel.chunks_exact_mut(STEPS).enumerate() {
        if lane < part.lanes {
            // SAFETY: the caller's promise.
            pack_line(&mut panel[..steps], unsafe { part.lane::<N>(lane) }, element);
        } else {
            panel[..steps].fill(0);
        }
    }
}

simd_fn! {
    /// `panel[step][width]`, whatever the order in memory.
    ///
    /// # Safety
    /// The part lies inside a live slice.
    pub(super) unsafe fn in_steps<'a>(panel: &'a mut [u32], part: &'a Part, width: usize, element: Element) {
        // SAFETY: the caller's promise.
        unsafe {
            if part.from.half {
                steps::<bf16>(panel, part, width, element);
            } else {
                steps::<f32>(panel, part, width, element);
            }
        }
    }
}

/// Panels of twelve lanes that are packed together: three vectors of pairs.
pub(super) const GROUP: usize = 4;

/// Whether so many lanes and levels are worth [`in_group`].
pub(super) fn is_group(width: usize, lanes: usize, depth: usize, element: Element) -> bool {
    let pairs = element == Element::Pair && depth.is_multiple_of(2);
    cfg!(target_arch = "x86_64") && pairs && width == 12 && lanes >= GROUP * width && isa() == Isa::Avx512Bf16
}

/// `panels[n][step][12]` of a part of 48 lanes that are adjacent in memory.
///
/// # Safety
/// The part lies inside a live slice, its `lane` is 1, and [`is_group`] says so.
pub(super) unsafe fn in_group(panels: [&mut [u32]; GROUP], part: &Part) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's promise.
    unsafe {
        if part.from.half {
            super::x86::group_levels::<bf16>(panels, part);
        } else {
            super::x86::group_levels::<f32>(panels, part);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (panels, part);
}

/// # Safety
/// The part lies inside a live slice of `N`.
#[inline(always)]
unsafe fn steps<N: Number>(panel: &mut [u32], part: &Part, width: usize, element: Element) {
    // SAFETY: the caller's promise.
    unsafe {
        match (part.lane == 1, width) {
            (true, 12) => levels::<12, N>(panel, part, element),
            (true, 32) => levels::<32, N>(panel, part, element),
            (true, 16) => levels::<16, N>(panel, part, element),
            (true, 6) => levels::<6, N>(panel, part, element),
            (true, 4) => levels::<4, N>(panel, part, element),
            _ => turned::<N>(panel, part, width, element),
        }
    }
}

/// # Safety
/// The part lies inside a live slice of `N`; its `lane` is 1.
#[inline(always)]
unsafe fn levels<const WIDTH: usize, N: Number>(panel: &mut [u32], part: &Part, element: Element) {
    #[cfg(target_arch = "x86_64")]
    if WIDTH == 32
        && part.lanes == 32
        && element == Element::Pair
        && part.depth.is_multiple_of(2)
        && isa() == Isa::Avx512Bf16
    {
        // SAFETY: the caller's promise; the path was chosen for this processor.
        return unsafe { super::x86::wide_levels::<N>(panel, part) };
    }
    let zeros = [N::default(); WIDTH];
    for (step, panel) in panel.as_chunks_mut::<WIDTH>().0.iter_mut().enumerate() {
        let depth = step * element.depth();
        if depth >= part.depth {
            return;
        }
        // SAFETY: the caller's promise, for levels below the depth.
        let low = unsafe { part.level::<N>(depth) };
        let more = element == Element::Pair && depth + 1 < part.depth;
        // SAFETY: as above.
        let high = if more { unsafe { part.level::<N>(depth + 1) } } else { &zeros[..part.lanes] };
        if let (Ok(low), Ok(high)) = (low.try_into(), high.try_into()) {
            level::<WIDTH, N>(panel, low, high, element);
        } else {
            let widened = |from: &[N]| std::array::from_fn(|lane| from.get(lane).copied().unwrap_or_default());
            level::<WIDTH, N>(panel, &widened(low), &widened(high), element);
        }
    }
}

#[inline(always)]
fn level<const WIDTH: usize, N: Number>(to: &mut [u32; WIDTH], low: &[N; WIDTH], high: &[N; WIDTH], element: Element) {
    match element {
        Element::Single => to.iter_mut().zip(low).for_each(|(to, low)| *to = low.to_f32().to_bits()),
        Element::Rounded => to.iter_mut().zip(low).for_each(|(to, low)| *to = rounded(low.to_f32()).to_bits()),
        Element::Pair => join_levels(to, low, high),
    }
}

/// Side of the squares in which a part is turned.
const SQUARE: usize = 16;

/// # Safety
/// The part lies inside a live slice of `N`; its `deep` is 1.
#[inline(always)]
unsafe fn turned<N: Number>(panel: &mut [u32], part: &Part, width: usize, element: Element) {
    let steps = part.depth.div_ceil(element.depth());
    let mut square = [[0_u32; SQUARE]; SQUARE];
    for first in (0..width).step_by(SQUARE) {
        let across = SQUARE.min(width - first);
        for top in (0..steps).step_by(SQUARE) {
            let down = SQUARE.min(steps - top);
            for (n, line) in square[..across].iter_mut().enumerate() {
                *line = [0; SQUARE];
                if first + n < part.lanes {
                    // SAFETY: the caller's promise.
                    let lane = unsafe { part.lane::<N>(first + n) };
                    let begin = top * element.depth();
                    let end = part.depth.min(begin + down * element.depth());
                    pack_line(&mut line[..down], &lane[begin..end], element);
                }
            }
            transpose(&mut square);
            for (to, line) in panel[top * width..].chunks_mut(width).take(down).zip(&square) {
                to[first..first + across].copy_from_slice(&line[..across]);
            }
        }
    }
}

#[inline(always)]
fn transpose(square: &mut [[u32; SQUARE]; SQUARE]) {
    #[cfg(target_arch = "x86_64")]
    if isa() >= Isa::Avx512 {
        // SAFETY: the path was chosen for this processor.
        return unsafe { super::x86::transpose(square) };
    }
    for i in 1..SQUARE {
        let (above, row) = square.split_at_mut(i);
        for (other, x) in above.iter_mut().zip(&mut row[0]) {
            std::mem::swap(&mut other[i], x);
        }
    }
}

/// Elements of values that follow each other in depth.
#[inline(always)]
fn pack_line<N: Number>(to: &mut [u32], from: &[N], element: Element) {
    match element {
        Element::Single => to.iter_mut().zip(from).for_each(|(to, from)| *to = from.to_f32().to_bits()),
        Element::Rounded => to.iter_mut().zip(from).for_each(|(to, from)| *to = rounded(from.to_f32()).to_bits()),
        Element::Pair => join_neighbours(to, from),
    }
}

/// `to[n] = (low[n], high[n])`.
#[inline(always)]
fn join_levels<N: Number>(to: &mut [u32], low: &[N], high: &[N]) {
    #[cfg(target_arch = "x86_64")]
    if isa() == Isa::Avx512Bf16 {
        // SAFETY: the path was chosen for this processor.
        return unsafe { super::x86::join_levels(to, low, high) };
    }
    for ((to, low), high) in to.iter_mut().zip(low).zip(high) {
        *to = join(*low, *high);
    }
}

/// `to[n] = (from[2n], from[2n + 1])`, the last one with zero where `from` has an odd length.
#[inline(always)]
fn join_neighbours<N: Number>(mut to: &mut [u32], mut from: &[N]) {
    #[cfg(target_arch = "x86_64")]
    if isa() == Isa::Avx512Bf16 && !N::HALF {
        let whole = from.len() / 32 * 16;
        let (head, tail) = to.split_at_mut(whole);
        // SAFETY: the path was chosen for this processor.
        unsafe { super::x86::join_neighbours(head, &from[..2 * whole]) };
        (to, from) = (tail, &from[2 * whole..]);
    }
    let (pairs, last) = from.as_chunks::<2>();
    for (to, &[low, high]) in to.iter_mut().zip(pairs) {
        *to = join(low, high);
    }
    if let ([low], Some(to)) = (last, to.get_mut(pairs.len())) {
        *to = join(*low, N::default());
    }
}

/// The pair of two values, the first in the lower half.
#[inline(always)]
fn join<N: Number>(low: N, high: N) -> u32 {
    u32::from(low.half_bits()) | u32::from(high.half_bits()) << 16
}
