//! Matrices inside of slices.

/// A matrix inside a slice: the first element, and the distances between rows and columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub(crate) pointer: *const f32,
    pub(crate) row: isize,
    pub(crate) column: isize,
}

/// A matrix that is written; see [`View`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct ViewMut {
    pub(crate) pointer: *mut f32,
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
    pub(crate) fn rows(slice: &[f32], row: usize) -> Self {
        Self { pointer: slice.as_ptr(), row: row as isize, column: 1 }
    }

    pub(crate) fn transposed(self) -> Self {
        Self { pointer: self.pointer, row: self.column, column: self.row }
    }

    /// The matrix that begins at (row, column). The result must lie inside the slice to be used.
    pub(crate) fn at(self, row: usize, column: usize) -> Self {
        Self { pointer: self.pointer.wrapping_offset(row as isize * self.row + column as isize * self.column), ..self }
    }
}

impl ViewMut {
    /// A matrix whose rows are `row` elements apart.
    pub(crate) fn rows(slice: &mut [f32], row: usize) -> Self {
        Self { pointer: slice.as_mut_ptr(), row: row as isize, column: 1 }
    }

    /// The matrix that begins at (row, column). The result must lie inside the slice to be used.
    pub(crate) fn at(self, row: usize, column: usize) -> Self {
        Self { pointer: self.pointer.wrapping_offset(row as isize * self.row + column as isize * self.column), ..self }
    }
}

/// Rows, columns and depth of a product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) depth: usize,
}
