//! Matrices inside of slices.

use crate::number::Number;

/// A matrix inside a slice: the first element, the distances between rows and columns, and whether it holds bfloat16 or f32.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub(crate) pointer: *const u8,
    pub(crate) half: bool,
    pub(crate) row: isize,
    pub(crate) column: isize,
}

/// A matrix that is written; see [`View`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct ViewMut {
    pub(crate) pointer: *mut u8,
    pub(crate) half: bool,
    pub(crate) row: isize,
    pub(crate) column: isize,
}

// SAFETY: the views are plain addresses; whoever dereferences them proves that no two threads
// write the same element and that nothing written is read elsewhere at the time.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}
// SAFETY: as above.
unsafe impl Send for ViewMut {}
// SAFETY: as above.
unsafe impl Sync for ViewMut {}

impl View {
    /// A matrix whose rows are `row` elements apart.
    pub(crate) fn rows<N: Number>(slice: &[N], row: usize) -> Self {
        Self { pointer: slice.as_ptr().cast(), half: N::HALF, row: row as isize, column: 1 }
    }

    /// The matrix of bfloat16 in the first halves of the rows.
    pub(crate) fn halved(self) -> Self {
        debug_assert!(!self.half && self.column == 1, "the rows hold f32");
        Self { half: true, row: 2 * self.row, ..self }
    }

    pub(crate) fn transposed(self) -> Self {
        Self { row: self.column, column: self.row, ..self }
    }

    /// The matrix that begins at (row, column). The result must lie inside the slice to be used.
    pub(crate) fn at(self, row: usize, column: usize) -> Self {
        let elements = row as isize * self.row + column as isize * self.column;
        Self { pointer: self.pointer.wrapping_offset(elements * size(self.half)), ..self }
    }
}

impl ViewMut {
    /// A matrix whose rows are `row` elements apart.
    pub(crate) fn rows<N: Number>(slice: &mut [N], row: usize) -> Self {
        Self { pointer: slice.as_mut_ptr().cast(), half: N::HALF, row: row as isize, column: 1 }
    }

    /// The matrix that begins at (row, column). The result must lie inside the slice to be used.
    pub(crate) fn at(self, row: usize, column: usize) -> Self {
        let elements = row as isize * self.row + column as isize * self.column;
        Self { pointer: self.pointer.wrapping_offset(elements * size(self.half)), ..self }
    }

    /// The first `length` elements of the first row.
    ///
    /// # Safety
    /// They lie inside the slice, are adjacent and of type `N`, and nobody else touches them meanwhile.
    pub(crate) unsafe fn line<'a, N: Number>(self, length: usize) -> &'a mut [N] {
        debug_assert_eq!(self.half, N::HALF);
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.cast(), length) }
    }
}

/// Bytes of an element.
fn size(half: bool) -> isize {
    if half { 2 } else { 4 }
}

/// Rows, columns and depth of a product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) depth: usize,
}
