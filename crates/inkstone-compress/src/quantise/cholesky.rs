//! The triangular factor that GPTQ walks along.

use rayon::prelude::*;

/// The upper triangular `U` with `H⁻¹ = Uᵀ·U`, `[n, n]`, of a symmetric `h[n, n]`; nothing where `h` is not positive definite.
///
/// With rows and columns reversed `H = L·Lᵀ`, and `U` is `L⁻¹` reversed back: one factorisation and one triangular inverse.
pub(super) fn inverse_factor(h: &[f64], n: usize) -> Option<Vec<f64>> {
    let reversed: Vec<f64> = h.iter().rev().copied().collect();
    let lower = cholesky(reversed, n)?;
    let mut factor = vec![0.0; n * n];
    // Column c of L⁻¹, by substitution, is row n − 1 − c of the transpose of U.
    let columns: Vec<Vec<f64>> = (0..n).into_par_iter().map(|c| inverse_column(&lower, n, c)).collect();
    for (c, column) in columns.iter().enumerate() {
        for (r, &value) in column.iter().enumerate() {
            factor[(n - 1 - c - r) * n + (n - 1 - c)] = value;
        }
    }
    Some(factor)
}

/// `L` with `A = L·Lᵀ`, row by row; what is above the diagonal is left as it was.
fn cholesky(mut a: Vec<f64>, n: usize) -> Option<Vec<f64>> {
    for column in 0..n {
        let (above, below) = a.split_at_mut((column + 1) * n);
        let row = &mut above[column * n..];
        let pivot = row[column] - row[..column].iter().map(|x| x * x).sum::<f64>();
        if pivot <= 0.0 || !pivot.is_finite() {
            return None;
        }
        row[column] = pivot.sqrt();
        let row = &*row;
        below.par_chunks_mut(n).with_min_len(16).for_each(|other| {
            let product: f64 = other[..column].iter().zip(&row[..column]).map(|(x, y)| x * y).sum();
            other[column] = (other[column] - product) / row[column];
        });
    }
    Some(a)
}

/// Column `c` of the inverse of a lower triangular matrix, from the diagonal on.
fn inverse_column(lower: &[f64], n: usize, c: usize) -> Vec<f64> {
    let mut column = Vec::with_capacity(n - c);
    for r in c..n {
        let row = &lower[r * n..][..n];
        let known: f64 = row[c..r].iter().zip(&column).map(|(l, x): (&f64, &f64)| l * x).sum();
        let one = if r == c { 1.0 } else { 0.0 };
        column.push((one - known) / row[r]);
    }
    column
}

#[cfg(test)]
mod tests {
    use super::inverse_factor;

    #[test]
    fn the_factor_squared_is_the_inverse() {
        let n = 5;
        let root: Vec<f64> = (0..n * n).map(|i| ((i * 7 + 3) % 11) as f64 / 11.0).collect();
        let at = |m: &[f64], r: usize, c: usize| m[r * n + c];
        let ridge = |r: usize, c: usize| if r == c { 0.5 } else { 0.0 };
        let h: Vec<f64> = (0..n * n)
            .map(|i| (0..n).map(|k| at(&root, i / n, k) * at(&root, i % n, k)).sum::<f64>() + ridge(i / n, i % n))
            .collect();
        let u = inverse_factor(&h, n).expect("a positive definite matrix");
        for r in 0..n {
            assert!((0..r).all(|c| at(&u, r, c) == 0.0));
            for c in 0..n {
                // (H · UᵀU)[r, c]
                let inverse = |k: usize| (0..n).map(|m| at(&u, m, k) * at(&u, m, c)).sum::<f64>();
                let got: f64 = (0..n).map(|k| at(&h, r, k) * inverse(k)).sum();
                assert!((got - f64::from(u8::from(r == c))).abs() < 1e-9, "{r} {c}: {got}");
            }
        }
        assert_eq!(inverse_factor(&[0.0; 4], 2), None);
    }
}
