use inkstone_kernels::{
    AdamW, RopeShape, adamw, add_scaled, cross_entropy, cross_entropy_backward, embedding, embedding_backward,
    reference, rms_norm, rms_norm_backward, rope, sum_of_squares, swiglu, swiglu_backward,
};

use crate::{close, gradient_is, numbers};

#[test]
fn rms_norm_and_its_gradients() {
    for (rows, width) in [(1, 1), (3, 7), (130, 48)] {
        let (x, weight, dy) = (numbers(1, rows * width), numbers(2, width), numbers(3, rows * width));
        let mut y = vec![0.0; x.len()];
        rms_norm(&mut y, &x, &weight, 1e-1);
        close(&y, &reference::rms_norm(&x, &weight, 1e-1), 1e-5);
        let (mut dx, mut dweight) = (vec![0.0; x.len()], vec![0.0; width]);
        rms_norm_backward(&mut dx, &mut dweight, &dy, &x, &weight, 1e-1);
        gradient_is(&dx, &x, &dy, |x| reference::rms_norm(x, &weight, 1e-1));
        gradient_is(&dweight, &weight, &dy, |weight| reference::rms_norm(&x, weight, 1e-1));
    }
}

#[test]
fn rope_equals_the_reference_and_is_undone_by_its_inverse() {
    let shape = RopeShape { batch: 2, length: 9, heads: 3, head_dim: 10, row: 30 };
    let (x, angles) = (numbers(1, 2 * 9 * 30), numbers(2, 9 * 5));
    let (cos, sin): (Vec<f32>, Vec<f32>) = angles.iter().map(|a| (a.cos(), a.sin())).unzip();
    let mut y = x.clone();
    rope(&mut y, &cos, &sin, shape, false);
    close(&y, &reference::rope(&x, &cos, &sin, shape), 1e-6);
    rope(&mut y, &cos, &sin, shape, true);
    close(&y, &x, 1e-6);
}

#[test]
fn swiglu_and_its_gradients() {
    let (gate, up, dy) = (numbers(1, 999), numbers(2, 999), numbers(3, 999));
    let mut y = vec![0.0; 999];
    swiglu(&mut y, &gate, &up);
    close(&y, &reference::swiglu(&gate, &up), 1e-6);
    let (mut dgate, mut dup) = (vec![0.0; 999], vec![0.0; 999]);
    let mut again = dy.clone();
    swiglu_backward((&mut dgate, &mut dup), &mut again, (&gate, &up));
    assert_eq!(again, y);
    gradient_is(&dgate, &gate, &dy, |gate| reference::swiglu(gate, &up));
    gradient_is(&dup, &up, &dy, |up| reference::swiglu(&gate, up));
}

#[test]
fn swiglu_survives_extremes() {
    let mut y = [0.0; 4];
    swiglu(&mut y, &[-1e30, 1e30, f32::NEG_INFINITY, -100.0], &[1.0; 4]);
    assert!(y[0].abs() < 1e-6 && y[1] == 1e30 && y[3].abs() < 1e-30, "{y:?}");
}

#[test]
fn cross_entropy_and_its_gradient() {
    let vocab = 37;
    let logits: Vec<f32> = numbers(1, 20 * vocab).iter().map(|x| x * 3.0).collect();
    let mut labels: Vec<i32> = (0..20).map(|i| i * 5 % 37).collect();
    labels[3] = -100;
    let mut losses = vec![9.0; 20];
    cross_entropy(&logits, &labels, &mut losses, vocab);
    close(&losses, &reference::cross_entropy(&logits, &labels, vocab), 1e-5);
    let mut dlogits = logits.clone();
    cross_entropy_backward(&mut dlogits, &labels, 0.5, vocab);
    gradient_is(&dlogits, &logits, &[0.5; 20], |logits| reference::cross_entropy(logits, &labels, vocab));
    assert!(dlogits[3 * vocab..4 * vocab].iter().all(|&d| d == 0.0));
}

#[test]
fn huge_and_broken_logits() {
    let mut losses = [0.0; 2];
    cross_entropy(&[1e30, 0.0, 0.0, f32::NAN], &[0, 0], &mut losses, 2);
    assert!(losses[0] == 0.0 && losses[1].is_nan(), "{losses:?}");
}

#[test]
fn embedding_gathers_and_its_gradient_sums() {
    let (table, ids) = (numbers(1, 5 * 3), [4, 0, 4, 2]);
    let mut y = vec![0.0; 12];
    embedding(&mut y, &table, &ids, 3);
    assert_eq!(y[..3], table[12..]);
    assert_eq!(y[3..6], table[..3]);
    let mut dtable = vec![9.0; 15];
    embedding_backward(&mut dtable, &[1.0; 12], &ids, 3);
    assert_eq!(dtable, [1., 1., 1., 0., 0., 0., 1., 1., 1., 0., 0., 0., 2., 2., 2.]);
}

#[test]
fn adamw_follows_the_formula() {
    let n = 70_000;
    let (mut weight, mut first, mut second) = (numbers(1, n), vec![0.0; n], vec![0.0; n]);
    let mut expected: Vec<(f64, f64, f64)> = weight.iter().map(|&w| (f64::from(w), 0.0, 0.0)).collect();
    for step in 1..=3 {
        let gradient = numbers(10 + step, n);
        let hyper = AdamW {
            learning_rate: 0.01,
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            weight_decay: 0.1,
            step,
            gradient_scale: 0.5,
        };
        adamw(&mut weight, &mut first, &mut second, &gradient, &hyper);
        expected
            .iter_mut()
            .zip(&gradient)
            .for_each(|(state, &g)| *state = reference::adamw(*state, f64::from(g), &hyper));
    }
    close(&weight, &expected.iter().map(|state| state.0 as f32).collect::<Vec<_>>(), 1e-5);
}

#[test]
fn sums() {
    let x = numbers(1, 100_003);
    let expected: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    assert!((sum_of_squares(&x) - expected).abs() < 1e-8 * expected);
    assert!(sum_of_squares(&[1.0, f32::NAN]).is_nan());
    let mut sum = vec![1.0; x.len()];
    add_scaled(&mut sum, &x, 2.0);
    close(&sum, &x.iter().map(|x| 1.0 + 2.0 * x).collect::<Vec<_>>(), 1e-6);
}
