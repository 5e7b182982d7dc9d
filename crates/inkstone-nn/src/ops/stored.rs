//! In which form the numbers of a tensor lie in memory: f32, or bfloat16 between the operations of a network whose products round their
//! operands to it anyway.

use burn::backend::TensorMetadata;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Element};
use inkstone_kernels::{Number, Precision, load, narrow};

use super::buffers::Buffer;

/// What a tensor of activations may hold.
pub(super) trait Stored: Number + Element + bytemuck::Pod {}

impl Stored for f32 {}
impl Stored for half::bf16 {}

/// Runs the expression with `$number` as the type that the tensor holds, or that numbers of a precision have.
macro_rules! typed {
    ($what:expr, $number:ident => $run:expr) => {
        if {
            use $crate::ops::stored::Held as _;
            $what.is_half()
        } {
            type $number = half::bf16;
            $run
        } else {
            type $number = f32;
            $run
        }
    };
}
pub(super) use typed;

/// What has a type of numbers.
pub(super) trait Held {
    /// Whether it is bfloat16.
    fn is_half(&self) -> bool;
}

impl Held for FlexTensor {
    fn is_half(&self) -> bool {
        self.dtype() == DType::BF16
    }
}

impl Held for Precision {
    fn is_half(&self) -> bool {
        *self == Self::Bf16
    }
}

/// The tensor with its elements in order and nothing else in its buffer, in whichever form.
pub(super) fn compact(x: FlexTensor) -> FlexTensor {
    let bytes = x.shape().num_elements() * if x.is_half() { 2 } else { 4 };
    let whole = x.is_contiguous() && x.layout().start_offset() == 0 && x.bytes().len() == bytes;
    if whole { x } else { x.to_contiguous() }
}

/// A tensor of the same shape and form whose numbers are all one number: what an operation keeps of an input whose numbers it will
/// not need.
pub(super) fn outline(x: &FlexTensor) -> FlexTensor {
    let layout = Layout::new(x.shape(), vec![0; x.shape().num_dims()], 0);
    typed!(x, N => FlexTensor::new(Bytes::from_elems(vec![<N as bytemuck::Zeroable>::zeroed()]), layout, x.dtype()))
}

/// [`compact`], in f32.
pub(crate) fn contiguous(x: FlexTensor) -> FlexTensor {
    let x = compact(x);
    if !x.is_half() {
        return x;
    }
    let mut wide = Buffer::new(x.shape().num_elements());
    load(&mut wide, stored::<half::bf16>(&x));
    wide.into_shaped(x.shape())
}

/// What the backward pass keeps of an f32 tensor, in the precision of the activations.
pub(super) fn kept(x: FlexTensor, precision: Precision) -> FlexTensor {
    if precision == Precision::F32 {
        return x;
    }
    let mut half = Buffer::<half::bf16>::new(x.shape().num_elements());
    narrow(&mut half, values(&x));
    half.into_shaped(x.shape())
}

/// All in one form: f32 if any is.
pub(super) fn alike<const N: usize>(tensors: [FlexTensor; N]) -> [FlexTensor; N] {
    if tensors.iter().all(Held::is_half) { tensors.map(compact) } else { tensors.map(contiguous) }
}

/// The numbers of a tensor that [`compact`] or [`contiguous`] made, which hold `N`.
pub(super) fn stored<N: Stored>(x: &FlexTensor) -> &[N] {
    x.as_slice::<N>().expect("invariant: the type was asked for, and the tensor made contiguous before")
}

/// The numbers of a tensor that [`contiguous`] made.
pub(super) fn values(x: &FlexTensor) -> &[f32] {
    stored::<f32>(x)
}
