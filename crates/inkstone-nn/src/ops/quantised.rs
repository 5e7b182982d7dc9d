//! Products with weights in blocks.

use burn::backend::Flex;
use burn::tensor::Tensor;
use inkstone_kernels::quantised::{self, Packed};

use super::buffers::Buffer;
use crate::parameters::with_values;

/// `y[n, o] = x[n, i] · w[o, i]ᵀ` on the CPU, without a graph; see [`quantised::quantised_linear`].
pub fn quantised_linear(x: Tensor<2>, w: &Packed) -> Tensor<2> {
    let ([rows, _], [outputs, _]) = (x.dims(), w.shape());
    let mut y = Buffer::new(rows * outputs);
    with_values(x, |x| quantised::quantised_linear(&mut y, x, w, rows));
    Tensor::from_primitive::<Flex>(y.into_tensor([rows, outputs]))
}
