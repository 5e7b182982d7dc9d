use inkstone_kernels::{logistic_step, reference};

use crate::{close, numbers};

#[test]
fn a_step_equals_the_reference() {
    for (inputs, outputs, width) in [(1, 1, 16), (6, 6, 112), (10, 21, 48), (3, 4, 304), (0, 5, 16)] {
        let (x, w) = (numbers(1, inputs * width), numbers(2, outputs * width));
        let labels: Vec<f32> = (0..outputs).map(|j| f32::from(u8::from(j % 3 == 0))).collect();
        let (mut dx, mut dw) = (vec![9.0; x.len()], vec![9.0; w.len()]);
        logistic_step((&mut dx, &mut dw), (&x, &w), &labels, 0.5);
        let (expected_dx, expected_dw) = reference::logistic_step(&x, &w, &labels, 0.5);
        close(&dx, &expected_dx, 1e-5);
        close(&dw, &expected_dw, 1e-5);
    }
}

#[test]
fn the_step_is_the_gradient_of_the_log_likelihood() {
    let (x, w, labels) = (numbers(1, 3 * 16), numbers(2, 2 * 16), [1.0, 0.0]);
    let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; w.len()]);
    logistic_step((&mut dx, &mut dw), (&x, &w), &labels, 1.0);
    let log_likelihood = |x: &[f32]| {
        let likelihood = |i: usize, j: usize| {
            let dot: f64 = (0..16).map(|c| f64::from(x[i * 16 + c]) * f64::from(w[j * 16 + c])).sum();
            let sign = if labels[j] == 1.0 { -1.0 } else { 1.0 };
            -(1.0 + (sign * dot).exp()).ln()
        };
        (0..6).map(|n| likelihood(n / 2, n % 2)).sum::<f64>()
    };
    for n in [0, 17, 47] {
        let moved = |by: f32| {
            let mut x = x.clone();
            x[n] += by;
            log_likelihood(&x)
        };
        let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
        assert!((slope - f64::from(dx[n])).abs() < 1e-4, "{slope} {}", dx[n]);
    }
}
