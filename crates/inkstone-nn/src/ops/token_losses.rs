//! Cross-entropy of each row, for objectives that weigh rows: minus the log-probability of its label.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use inkstone_kernels as kernels;

use super::buffers::Buffer;
use super::stored::{contiguous, values};
use super::{composed, gradients, is_cpu};

/// `log Σᵥ exp(logits[n, v]) − logits[n, labels[n]]` for each row, `[n]`; 0 where the label is negative.
pub fn token_losses(logits: Tensor<2>, labels: Arc<[i32]>) -> Tensor<1> {
    if !is_cpu(&logits.device()) {
        return composed::token_losses(logits, &labels);
    }
    Tensor::from_dispatch(<Dispatch as Fused>::token_losses(logits.into_dispatch(), labels))
}

#[backend_extension(Flex, Autodiff)]
trait Fused: Backend {
    fn token_losses(logits: FloatTensor<Self>, labels: Arc<[i32]>) -> FloatTensor<Self>;
}

impl Fused for Flex {
    fn token_losses(logits: FlexTensor, labels: Arc<[i32]>) -> FlexTensor {
        let logits = contiguous(logits);
        let [rows, vocab] = logits.shape().dims();
        let mut losses = Buffer::new(rows);
        kernels::cross_entropy(values(&logits), &labels, &mut losses, vocab);
        losses.into_tensor([rows])
    }
}

#[derive(Debug)]
struct TokenLossesBackward;

impl Backward<Flex, 1> for TokenLossesBackward {
    type State = (Option<FlexTensor>, Arc<[i32]>);

    /// The gradient takes the place of the logits when nobody else holds them.
    fn backward(self, mut ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dlosses = gradients::consume(grads, &ops);
        let Some(mut logits) = ops.state.0.take() else { return };
        let ([_, vocab], labels) = (logits.shape().dims(), &ops.state.1);
        let dlogits = logits.storage_mut::<f32>();
        kernels::cross_entropy_backward(dlogits, labels, 1.0, vocab);
        for (row, &factor) in dlogits.chunks_exact_mut(vocab.max(1)).zip(values(&dlosses)) {
            for d in row {
                *d *= factor;
            }
        }
        gradients::register(grads, &ops, 0, logits);
    }
}

impl<C: CheckpointStrategy> Fused for Autodiff<Flex, C> {
    fn token_losses(logits: FloatTensor<Self>, labels: Arc<[i32]>) -> FloatTensor<Self> {
        let (logits, node) = logits.into_parts();
        let logits = contiguous(logits);
        let losses = Flex::token_losses(logits.clone(), Arc::clone(&labels));
        match TokenLossesBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((Some(logits), labels), losses),
            OpsKind::UnTracked(prep) => prep.finish(losses),
        }
    }
}
