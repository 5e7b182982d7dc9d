//! Vectors in two dimensions.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How vectors are laid on a plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Projection {
    /// The two directions of largest variance.
    Pca,
    /// Neighbours stay neighbours (van der Maaten and Hinton 2008), from the two directions on.
    Tsne,
}

/// Where each of the rows of `vectors[n, size]` lies.
pub fn project(vectors: &[f32], size: usize, projection: Projection) -> Vec<[f64; 2]> {
    let rows: Vec<Vec<f64>> =
        vectors.chunks_exact(size).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect();
    let plane = principal(&rows);
    match projection {
        Projection::Pca => plane,
        Projection::Tsne => tsne(&rows, plane),
    }
}

/// Steps of the power method; far more than a picture needs.
const POWER_STEPS: usize = 100;

/// The two leading principal components, by the power method on the covariance.
fn principal(rows: &[Vec<f64>]) -> Vec<[f64; 2]> {
    let size = rows.first().map_or(0, Vec::len);
    let mean: Vec<f64> = (0..size).map(|c| rows.iter().map(|row| row[c]).sum::<f64>() / rows.len() as f64).collect();
    let centred: Vec<Vec<f64>> =
        rows.iter().map(|row| row.iter().zip(&mean).map(|(x, mean)| x - mean).collect()).collect();
    let first = leading(&centred, None);
    let second = leading(&centred, Some(&first));
    centred.iter().map(|row| [dot(row, &first), dot(row, &second)]).collect()
}

/// The direction of largest variance, square to `other`.
fn leading(rows: &[Vec<f64>], other: Option<&[f64]>) -> Vec<f64> {
    let size = rows.first().map_or(0, Vec::len);
    let mut direction: Vec<f64> = (0..size).map(|c| 1.0 + 0.1 * (c as f64).sin()).collect();
    for _ in 0..POWER_STEPS {
        if let Some(other) = other {
            let along = dot(&direction, other);
            direction.iter_mut().zip(other).for_each(|(x, other)| *x -= along * other);
        }
        let mut next = vec![0.0; size];
        for row in rows {
            let along = dot(row, &direction);
            next.iter_mut().zip(row).for_each(|(next, x)| *next += along * x);
        }
        let length = dot(&next, &next).sqrt();
        if length > 0.0 {
            for x in &mut next {
                *x /= length;
            }
            direction = next;
        }
    }
    direction
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Neighbours that each point is given, roughly.
const PERPLEXITY: f64 = 20.0;
const TSNE_STEPS: usize = 500;
/// Steps in which attraction is exaggerated, and by how much.
const EXAGGERATED: (usize, f64) = (100, 12.0);

/// Gradient descent with momentum and gains, as in the authors' program, from the plane on.
fn tsne(rows: &[Vec<f64>], mut plane: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    let n = rows.len();
    if n < 4 {
        return plane;
    }
    let affinities = affinities(rows);
    let spread = (plane.iter().map(|p| p[0] * p[0]).sum::<f64>() / n as f64).sqrt().max(1e-12);
    plane.iter_mut().flatten().for_each(|x| *x *= 1e-2 / spread);
    let rate = (n as f64 / EXAGGERATED.1).max(50.0);
    let mut moves = vec![[0.0f64; 2]; n];
    let mut gains = vec![[1.0f64; 2]; n];
    for step in 0..TSNE_STEPS {
        let early = step < EXAGGERATED.0;
        let (exaggeration, momentum) = if early { (EXAGGERATED.1, 0.5) } else { (1.0, 0.8) };
        let forces = forces(&affinities, &plane, exaggeration);
        for i in 0..n {
            for c in 0..2 {
                let against = forces[i][c].is_sign_positive() != moves[i][c].is_sign_positive();
                gains[i][c] = if against { gains[i][c] + 0.2 } else { (gains[i][c] * 0.8).max(0.01) };
                moves[i][c] = momentum * moves[i][c] - rate * gains[i][c] * forces[i][c];
                plane[i][c] += moves[i][c];
            }
        }
    }
    plane
}

/// Symmetric joint probabilities `p[i, j]` in the original space (equations 1 and 2).
fn affinities(rows: &[Vec<f64>]) -> Vec<f64> {
    let n = rows.len();
    let target = PERPLEXITY.min((n - 1) as f64 / 3.0).ln();
    let mut p = vec![0.0; n * n];
    for i in 0..n {
        let distances: Vec<f64> = rows.iter().map(|row| distance(row, &rows[i])).collect();
        p[i * n..][..n].copy_from_slice(&conditional(&distances, i, target));
    }
    let symmetric = |at: usize| (p[at] + p[at % n * n + at / n]) / (2.0 * n as f64);
    (0..n * n).map(|at| symmetric(at).max(1e-12)).collect()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Gaussian neighbours of point `i` with the entropy `target` (in nats), by bisection of the precision.
fn conditional(distances: &[f64], i: usize, target: f64) -> Vec<f64> {
    let (mut low, mut high, mut precision) = (0.0, f64::INFINITY, 1.0);
    let nearest = (0..distances.len()).filter(|&j| j != i).map(|j| distances[j]).fold(f64::INFINITY, f64::min);
    let mut p = vec![0.0; distances.len()];
    for _ in 0..50 {
        for (j, p) in p.iter_mut().enumerate() {
            *p = if j == i { 0.0 } else { (-precision * (distances[j] - nearest)).exp() };
        }
        let sum: f64 = p.iter().sum();
        for p in &mut p {
            *p /= sum;
        }
        let entropy: f64 = p.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum();
        if entropy > target {
            low = precision;
            precision = if high.is_finite() { f64::midpoint(low, high) } else { 2.0 * precision };
        } else {
            high = precision;
            precision = f64::midpoint(low, high);
        }
    }
    p
}

/// The gradient at each point (equation 5).
fn forces(p: &[f64], plane: &[[f64; 2]], exaggeration: f64) -> Vec<[f64; 2]> {
    let n = plane.len();
    let kernel = |i: usize, j: usize| {
        let (x, y) = (plane[i][0] - plane[j][0], plane[i][1] - plane[j][1]);
        1.0 / (1.0 + x * x + y * y)
    };
    let sums = (0..n).into_par_iter().map(|i| (0..n).filter(|&j| j != i).map(|j| kernel(i, j)).sum::<f64>());
    let total: f64 = sums.collect::<Vec<f64>>().iter().sum();
    let force = |i: usize| {
        let mut force = [0.0; 2];
        for j in (0..n).filter(|&j| j != i) {
            let q = kernel(i, j);
            let pull = 4.0 * (exaggeration * p[i * n + j] - q / total) * q;
            force[0] += pull * (plane[i][0] - plane[j][0]);
            force[1] += pull * (plane[i][1] - plane[j][1]);
        }
        force
    };
    (0..n).into_par_iter().map(force).collect()
}

#[cfg(test)]
mod tests {
    use super::{Projection, project};

    /// Two bundles of points far apart in five dimensions.
    fn bundles() -> Vec<f32> {
        let noise = |n: usize, c: usize| ((n * 7 + c * 13) as f32 * 1.7).sin() * 0.1;
        (0..40).flat_map(|n| (0..5).map(move |c| noise(n, c) + if n < 20 && c == 3 { 4.0 } else { 0.0 })).collect()
    }

    #[test]
    fn bundles_stay_bundles() {
        for projection in [Projection::Pca, Projection::Tsne] {
            let plane = project(&bundles(), 5, projection);
            let far = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
            for i in 0..40 {
                let nearest = (0..40)
                    .filter(|&j| j != i)
                    .min_by(|&a, &b| far(plane[i], plane[a]).total_cmp(&far(plane[i], plane[b])));
                assert_eq!(nearest.map(|j| j < 20), Some(i < 20), "{projection:?}, point {i}");
            }
        }
    }

    #[test]
    fn a_few_or_equal_points_are_no_trouble() {
        for projection in [Projection::Pca, Projection::Tsne] {
            for n in [0, 1, 2, 5] {
                let plane = project(&vec![1.0; n * 3], 3, projection);
                assert!(plane.len() == n && plane.iter().flatten().all(|x| x.is_finite()));
            }
        }
    }
}
