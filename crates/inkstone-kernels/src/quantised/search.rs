//! The scale, or scale and minimum, with which a group of numbers loses least.
//!
//! For any assignment of integers the best scale is a weighted least-squares fit; the search tries the assignments of a few scales around
//! the obvious one and keeps the best fit.

/// Scales tried on each side of the obvious one.
const TRIES: i32 = 9;

/// What the squared error of each number counts. `importance` is scaled by the number's own size, so that where inputs are alike large
/// weights still win.
pub(super) fn importance_of(values: &[f32], importance: Option<&[f32]>) -> Vec<f32> {
    let mean_square = values.iter().map(|x| x * x).sum::<f32>() / values.len() as f32;
    match importance {
        Some(importance) => {
            crate::expect_len("importance", importance.len(), values.len());
            importance.iter().zip(values).map(|(w, x)| w * (mean_square + x * x).sqrt()).collect()
        }
        None => values.iter().map(|x| mean_square.sqrt() + x.abs()).collect(),
    }
}

/// The scale `d` with the least `Σ w·(x − d·q)²` over integers `q` in `−half..half`.
pub(super) fn symmetric(values: &[f32], weights: &[f32], half: f32) -> f32 {
    let farthest = values.iter().fold(0.0, |most: f32, &x| if x.abs() > most.abs() { x } else { most });
    if farthest == 0.0 {
        return 0.0;
    }
    let (mut best, mut scale) = (0.0, 0.0);
    for step in -TRIES..=TRIES {
        let inverse = -(half + 0.1 * step as f32) / farthest;
        let (mut xq, mut qq) = (0.0, 0.0);
        for (x, w) in values.iter().zip(weights) {
            let q = (x * inverse).round().clamp(-half, half - 1.0);
            xq += w * x * q;
            qq += w * q * q;
        }
        // What the fit takes off the error is xq² / qq.
        if qq > 0.0 && xq * xq > best * qq {
            (best, scale) = (xq * xq / qq, xq / qq);
        }
    }
    scale
}

/// The scale `d ≥ 0` and minimum `m ≤ 0` with the least `Σ w·(x − d·u − m)²` over integers `u` in `0..=top`.
pub(super) fn affine(values: &[f32], weights: &[f32], top: f32) -> (f32, f32) {
    let low = values.iter().copied().fold(0.0, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if high <= low {
        return (0.0, low);
    }
    let mut best = (f32::INFINITY, (high - low) / top, low);
    for step in -TRIES..=2 * TRIES {
        let inverse = (top + 0.1 * step as f32) / (high - low);
        let integer = |x: f32| ((x - low) * inverse).round().clamp(0.0, top);
        let Some((scale, min)) = fit(values, weights, integer) else { continue };
        let error = values.iter().zip(weights).map(|(x, w)| w * (x - scale * integer(*x) - min).powi(2)).sum();
        if error < best.0 {
            best = (error, scale, min);
        }
    }
    (best.1, best.2)
}

/// The least-squares line through `(u, x)` with a scale above and a minimum below zero.
fn fit(values: &[f32], weights: &[f32], integer: impl Fn(f32) -> f32) -> Option<(f32, f32)> {
    let (mut w1, mut wu, mut wuu, mut wx, mut wux) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (&x, &w) in values.iter().zip(weights) {
        let u = integer(x);
        w1 += w;
        wu += w * u;
        wuu += w * u * u;
        wx += w * x;
        wux += w * u * x;
    }
    let determinant = w1 * wuu - wu * wu;
    if determinant <= 0.0 {
        return None;
    }
    let (scale, min) = ((w1 * wux - wu * wx) / determinant, (wuu * wx - wu * wux) / determinant);
    let fitted = if min > 0.0 { (if wuu > 0.0 { wux / wuu } else { 0.0 }, 0.0) } else { (scale, min) };
    (fitted.0 > 0.0).then_some(fitted)
}
