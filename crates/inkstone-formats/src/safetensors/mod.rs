//! Tensors in a file: `u64` length of the header (little-endian), a JSON header, the numbers.
//!
//! Layout: <https://huggingface.co/docs/safetensors>. Headers are parsed and checked by the `safetensors` crate (offsets in
//! range, without overlap or gap; shape × size of a number equal to the range); this module adds the memory map, errors
//! that name the place, and a writer that never holds more than one tensor.

mod read;
mod write;

pub use ::safetensors::Dtype;
pub use read::{TensorFile, to_f32};
pub(crate) use read::{map_file, not_found};
pub use write::{TensorLayout, TensorWriter, write_tensors};

/// The longest header that is read or written, in bytes (the limit of the format's own library).
pub const MAX_HEADER_BYTES: u64 = 100_000_000;

/// The first entry of `__metadata__` that `transformers` insists on.
pub const PT_FORMAT: (&str, &str) = ("format", "pt");

/// A tensor that lives elsewhere: in a mapped file, or in the memory of whoever writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorView<'a> {
    /// Type of the numbers.
    pub dtype: Dtype,
    /// Sizes, outermost first.
    pub shape: &'a [usize],
    /// The numbers, row-major and little-endian. Not aligned to anything when they come from a file.
    pub bytes: &'a [u8],
}

/// A tensor of a [`TensorFile`].
pub type TensorRef<'a> = TensorView<'a>;

impl<'a> TensorView<'a> {
    /// A tensor of single-precision numbers.
    pub fn f32(shape: &'a [usize], values: &'a [f32]) -> Self {
        Self { dtype: Dtype::F32, shape, bytes: f32_bytes(values) }
    }

    /// How many numbers the shape holds.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no numbers.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Single-precision numbers as the bytes that go into a file.
pub fn f32_bytes(values: &[f32]) -> &[u8] {
    const { assert!(cfg!(target_endian = "little"), "files are little-endian and are mapped as they are") };
    bytemuck::cast_slice(values)
}

/// The bytes of single-precision numbers, to be read into from a file.
fn f32_bytes_mut(values: &mut [f32]) -> &mut [u8] {
    const { assert!(cfg!(target_endian = "little"), "files are little-endian and are read as they are") };
    bytemuck::cast_slice_mut(values)
}

/// Bytes that a tensor of `shape` takes, `None` where that is no whole number or more than memory could hold.
pub(crate) fn byte_len(dtype: Dtype, shape: &[usize]) -> Option<usize> {
    let numbers = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size))?;
    let bits = numbers.checked_mul(dtype.bitsize())?;
    bits.is_multiple_of(8).then_some(bits / 8)
}
