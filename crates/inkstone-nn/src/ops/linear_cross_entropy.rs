//! The head of a language model and its loss in one operation.

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use inkstone_kernels as kernels;
use inkstone_kernels::{LinearCrossEntropy, LinearCrossEntropyGrads, Precision};

use super::backward::is_tracked;
use super::buffers::Buffer;
use super::fused::{flat, linear_shape};
use super::stored::{compact, contiguous, stored, typed, values};
use super::{CrossEntropy, composed, cross_entropy, gradients, is_cpu};

/// [`super::cross_entropy`] of the logits `x[n, i] · w[v, i]ᵀ`, which are never all there at once. Rows without a label cost nothing.
pub fn linear_cross_entropy(x: Tensor<2>, w: Tensor<2>, labels: Arc<[i32]>, precision: Precision) -> CrossEntropy {
    if !is_cpu(&x.device()) {
        return cross_entropy(composed::linear(x, w), labels);
    }
    let counted = labels.iter().filter(|&&label| label >= 0).count();
    let losses = Arc::new(Mutex::new(Vec::new()));
    let how = How { labels, precision, losses: Arc::clone(&losses) };
    let mean =
        Tensor::from_dispatch(<Dispatch as Fused>::linear_cross_entropy(x.into_dispatch(), w.into_dispatch(), how));
    let losses = std::mem::take(&mut *losses.lock().unwrap_or_else(PoisonError::into_inner));
    CrossEntropy { mean, losses, counted }
}

/// What the loss takes beside its tensors, and where the losses of the rows go.
#[derive(Debug, Clone)]
struct How {
    labels: Arc<[i32]>,
    precision: Precision,
    losses: Arc<Mutex<Vec<f32>>>,
}

#[backend_extension(Flex, Autodiff)]
trait Fused: Backend {
    fn linear_cross_entropy(x: FloatTensor<Self>, w: FloatTensor<Self>, how: How) -> FloatTensor<Self>;
}

impl How {
    /// The mean over the labelled rows, and its gradients of `x` and `w` where they are wanted.
    fn run(&self, x: &FlexTensor, w: &FlexTensor, wanted: [bool; 2]) -> (FlexTensor, [Option<FlexTensor>; 2]) {
        let (shape, counted) = (linear_shape(x, w), self.labels.iter().filter(|&&label| label >= 0).count().max(1));
        let mut losses = vec![0.0; shape.rows];
        let mut dw = wanted[1].then(|| Buffer::<f32>::new(shape.outputs * shape.inputs));
        let dx = typed!(x, N => {
            let mut dx = wanted[0].then(|| Buffer::<N>::new(shape.rows * shape.inputs));
            let (scale, to_x, to_w) = (1.0 / counted as f32, dx.as_deref_mut(), dw.as_deref_mut());
            let grads = LinearCrossEntropyGrads { scale, dx: to_x, dw: to_w };
            let (x, w, labels, precision) = (stored::<N>(x), values(w), &*self.labels, self.precision);
            kernels::linear_cross_entropy(&mut losses, grads, LinearCrossEntropy { x, w, labels, shape, precision });
            dx.map(|dx| dx.into_tensor([shape.rows, shape.inputs]))
        });
        let mean = losses.iter().map(|&x| f64::from(x)).sum::<f64>() / counted as f64;
        *self.losses.lock().unwrap_or_else(PoisonError::into_inner) = losses;
        (flat(vec![mean as f32]), [dx, dw.map(|dw| dw.into_tensor([shape.outputs, shape.inputs]))])
    }
}

impl Fused for Flex {
    fn linear_cross_entropy(x: FlexTensor, w: FlexTensor, how: How) -> FlexTensor {
        how.run(&compact(x), &contiguous(w), [false; 2]).0
    }
}

#[derive(Debug)]
struct LinearCrossEntropyBackward;

impl Backward<Flex, 2> for LinearCrossEntropyBackward {
    /// The gradients of `x` and `w`, found with the loss.
    type State = [Option<FlexTensor>; 2];

    fn backward(self, mut ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let factor = values(&gradients::consume(grads, &ops))[0];
        for n in 0..2 {
            if let Some(mut gradient) = ops.state[n].take() {
                scale(&mut gradient, factor);
                gradients::register(grads, &ops, n, gradient);
            }
        }
    }
}

/// `x *= factor`.
fn scale(x: &mut FlexTensor, factor: f32) {
    if factor != 1.0 {
        typed!(x, N => kernels::scale(x.storage_mut::<N>(), factor));
    }
}

impl<C: CheckpointStrategy> Fused for Autodiff<Flex, C> {
    fn linear_cross_entropy(x: FloatTensor<Self>, w: FloatTensor<Self>, how: How) -> FloatTensor<Self> {
        let wanted = [is_tracked::<C>(&x), is_tracked::<C>(&w)];
        let ((x, x_node), (w, w_node)) = (x.into_parts(), w.into_parts());
        let (mean, found) = how.run(&compact(x), &contiguous(w), wanted);
        match LinearCrossEntropyBackward.prepare::<C>([x_node, w_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(found, mean),
            OpsKind::UnTracked(prep) => prep.finish(mean),
        }
    }
}
