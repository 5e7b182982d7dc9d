//! Every fast kernel against its plain reference, its gradient against finite differences, and
//! byte-equality over thread counts.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod attention;
#[cfg(unix)]
mod guard;
mod halves;
mod hostile;
mod isa;
mod layers;
mod linear_cross_entropy;
mod logistic;
mod loops;
mod products;
mod quantised;
mod recurrent;
mod threads;

/// Numbers in [-1, 1) that depend on the seed only.
fn numbers(seed: u64, n: usize) -> Vec<f32> {
    (0..n as u64)
        .map(|i| {
            let mut z = (seed << 32 | i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            ((z >> 40) as f32 / (1u64 << 23) as f32) - 1.0
        })
        .collect()
}

#[track_caller]
fn close(got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len());
    for (i, (&g, &e)) in got.iter().zip(expected).enumerate() {
        assert!((g - e).abs() <= tolerance * e.abs().max(1.0), "element {i}: got {g}, expected {e}");
    }
}

/// `Σ weight · f(x)` has the derivative `got` by finite differences.
#[track_caller]
fn gradient_is(got: &[f32], x: &[f32], weight: &[f32], f: impl Fn(&[f32]) -> Vec<f32>) {
    let value = |x: &[f32]| f(x).iter().zip(weight).map(|(&y, &w)| f64::from(y) * f64::from(w)).sum::<f64>();
    let step = 1e-2;
    for i in (0..x.len()).step_by((x.len() / 40).max(1)) {
        let moved = |by: f32| {
            let mut x = x.to_vec();
            x[i] += by;
            value(&x)
        };
        let expected =
            (8.0 * (moved(step) - moved(-step)) - (moved(2.0 * step) - moved(-2.0 * step))) / (12.0 * f64::from(step));
        assert!(
            (f64::from(got[i]) - expected).abs() < 2e-3 * expected.abs().max(1.0),
            "element {i}: got {}, expected {expected}",
            got[i]
        );
    }
}
