//! Products with weights in blocks.

use burn::backend::Flex;
use burn::tensor::Tensor;
use inkstone_kernels::quantised::{self, Packed};

use super::buffers::Buffer;
use crate::parameters::with_values;

/// `y[n, o] = x[n, i] · w[o, i]ᵀ` on the CPU, without a graph; see [`quantised::quantised_linear`].
pub fn quantised_linear(x: Tensor<2>, w: &Packed) -> Tensor<2> {
    let [y] = quantised_linears(x, [w]);
    y
}

/// [`quantised_linear`] with several weights at once.
pub fn quantised_linears<const N: usize>(x: Tensor<2>, ws: [&Packed; N]) -> [Tensor<2>; N] {
    let [rows, _] = x.dims();
    let mut ys = ws.map(|w| Buffer::new(rows * w.shape()[0]));
    with_values(x, |x| quantised::quantised_linears(&mut ys.each_mut().map(|y| &mut **y), x, &ws, rows));
    let mut outputs = ws.iter().map(|w| w.shape()[0]);
    ys.map(|y| Tensor::from_primitive::<Flex>(y.into_tensor([rows, outputs.next().unwrap_or_default()])))
}
