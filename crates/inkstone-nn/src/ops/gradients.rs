//! Gradients on their way back.
//!
//! A value that several operations read gets the sum of their gradients. The tensor library adds up on one thread, into memory of
//! its own; here the sum is kept in the buffer of the first, and a product adds to it as it goes.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use burn::backend::Flex;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::Ops;
use burn::backend::flex::FlexTensor;
use inkstone_kernels as kernels;

use super::stored::{alike, compact, contiguous, stored, typed};

/// Values that have a gradient which nobody has taken: the library does not tell. Values are numbered once and for all, so a number
/// that is missing costs time only; those of values whose gradient went to the library's own operations are left over.
static WAITING: Mutex<BTreeSet<NodeId>> = Mutex::new(BTreeSet::new());

/// Numbers that may be left over.
const MOST: usize = 4096;

/// The gradient of an operation's output, in f32.
pub(super) fn consume<S, const N: usize>(grads: &mut Gradients, ops: &Ops<S, N>) -> FlexTensor {
    contiguous(consume_any(grads, ops))
}

/// The gradient of an operation's output, in the form that it came in.
pub(super) fn consume_any<S, const N: usize>(grads: &mut Gradients, ops: &Ops<S, N>) -> FlexTensor {
    waiting().remove(&ops.node.id);
    compact(grads.consume::<Flex>(&ops.node))
}

/// Whether anybody wants the gradient of the operation's input `n`.
pub(super) fn wanted<S, const N: usize>(ops: &Ops<S, N>, n: usize) -> bool {
    ops.parents[n].is_some()
}

/// Hands on the gradient of the operation's input `n`, if anybody wants it.
pub(super) fn register<S, const N: usize>(grads: &mut Gradients, ops: &Ops<S, N>, n: usize, gradient: FlexTensor) {
    let Some(node) = &ops.parents[n] else { return };
    let gradient = match take(grads, ops, n) {
        Some(sum) => add(sum, gradient),
        None => gradient,
    };
    // The gradients of parameters stay with the library.
    if !node.parents.is_empty() {
        let mut waiting = waiting();
        if waiting.len() >= MOST {
            waiting.clear();
        }
        waiting.insert(node.id);
    }
    grads.register::<Flex>(node.id, gradient);
}

/// What others found to be the gradient of the operation's input `n`; it must be handed on with what is added.
pub(super) fn take<S, const N: usize>(grads: &mut Gradients, ops: &Ops<S, N>, n: usize) -> Option<FlexTensor> {
    let node = ops.parents[n].as_ref()?;
    let known = waiting().remove(&node.id);
    known.then(|| compact(grads.consume::<Flex>(node)))
}

/// The sum, in the buffer of one of them.
fn add(sum: FlexTensor, gradient: FlexTensor) -> FlexTensor {
    let [sum, gradient] = alike([sum, gradient]);
    let (mut sum, other) = if sum.is_unique() { (sum, gradient) } else { (gradient, sum) };
    typed!(sum, N => kernels::add_scaled(sum.storage_mut::<N>(), stored::<N>(&other), 1.0));
    sum
}

fn waiting() -> std::sync::MutexGuard<'static, BTreeSet<NodeId>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}
