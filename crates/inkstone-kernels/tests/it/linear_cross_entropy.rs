use half::bf16;
use inkstone_kernels::{
    LinearCrossEntropy, LinearCrossEntropyGrads, LinearShape, Number, Precision, linear_cross_entropy, reference,
};

use crate::{close, gradient_is, numbers};

struct Case {
    x: Vec<f32>,
    w: Vec<f32>,
    labels: Vec<i32>,
    shape: LinearShape,
}

fn case([rows, inputs, outputs]: [usize; 3]) -> Case {
    // Every third row has no label.
    let labels = (0..rows).map(|n| if n % 3 == 1 { -1 } else { (n * 7 % outputs) as i32 }).collect();
    let shape = LinearShape { rows, inputs, outputs };
    Case { x: numbers(1, rows * inputs), w: numbers(2, outputs * inputs), labels, shape }
}

impl Case {
    fn given<'a, N>(&'a self, x: &'a [N], precision: Precision) -> LinearCrossEntropy<'a, N> {
        LinearCrossEntropy { x, w: &self.w, labels: &self.labels, shape: self.shape, precision }
    }

    /// Losses and gradients with a factor of 0.5.
    fn all<N: Number>(&self, x: &[N], precision: Precision) -> (Vec<f32>, Vec<N>, Vec<f32>) {
        let (mut losses, mut dx, mut dw) = (vec![9.0; self.shape.rows], x.to_vec(), self.w.clone());
        let grads = LinearCrossEntropyGrads { scale: 0.5, dx: Some(&mut dx), dw: Some(&mut dw) };
        linear_cross_entropy(&mut losses, grads, self.given(x, precision));
        (losses, dx, dw)
    }

    /// The losses by way of all logits.
    fn plain(&self, x: &[f32], w: &[f32]) -> Vec<f32> {
        reference::cross_entropy(&reference::linear(x, w, self.shape), &self.labels, self.shape.outputs)
    }
}

#[test]
fn losses_and_gradients_are_those_of_all_logits() {
    for sizes in [[1, 1, 1], [2, 3, 5], [7, 33, 40], [300, 16, 50], [600, 20, 31]] {
        let case = case(sizes);
        let (losses, dx, dw) = case.all(&case.x, Precision::F32);
        close(&losses, &case.plain(&case.x, &case.w), 1e-5);
        let half = vec![0.5; sizes[0]];
        gradient_is(&dx, &case.x, &half, |x| case.plain(x, &case.w));
        gradient_is(&dw, &case.w, &half, |w| case.plain(&case.x, w));
    }
}

#[test]
fn what_is_not_wanted_changes_nothing() {
    let case = case([70, 24, 45]);
    let (losses, dx, _) = case.all(&case.x, Precision::F32);
    let (mut alone, mut only) = (vec![0.0; 70], vec![0.0; 70 * 24]);
    let none = LinearCrossEntropyGrads { scale: 1.0, dx: None, dw: None };
    linear_cross_entropy(&mut alone, none, case.given(&case.x, Precision::F32));
    assert_eq!(alone, losses);
    let grads = LinearCrossEntropyGrads { scale: 0.5, dx: Some(&mut only), dw: None };
    linear_cross_entropy(&mut alone, grads, case.given(&case.x, Precision::F32));
    assert_eq!(only, dx);
}

#[test]
fn bfloat16_is_near() {
    let case = case([65, 32, 64]);
    let narrow: Vec<bf16> = case.x.iter().map(|&x| bf16::from_f32(x)).collect();
    let (wide, rounded) = (case.all(&case.x, Precision::F32), case.all(&narrow, Precision::Bf16));
    close(&rounded.0, &wide.0, 3e-2);
    close(&rounded.2, &wide.2, 3e-2);
    let dx: Vec<f32> = rounded.1.iter().map(|x| x.to_f32()).collect();
    close(&dx, &wide.1, 3e-2);
}

#[test]
fn no_label_at_all_is_no_loss() {
    let mut case = case([5, 4, 6]);
    case.labels = vec![-1; 5];
    let (losses, dx, dw) = case.all(&case.x, Precision::F32);
    assert!([losses, dx, dw].concat().iter().all(|&x| x == 0.0));
}

#[test]
fn byte_equal_at_any_number_of_threads() {
    let case = case([301, 48, 70]);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| case.all(&case.x, Precision::Bf16))
    };
    let one = with(1);
    assert!([2, 3, 8].into_iter().all(|threads| with(threads) == one));
}

#[test]
#[should_panic(expected = "label 6 of row 0 is outside the vocabulary of 6")]
fn a_label_outside_of_the_outputs_is_refused() {
    let mut case = case([2, 4, 6]);
    case.labels[0] = 6;
    case.all(&case.x, Precision::F32);
}
