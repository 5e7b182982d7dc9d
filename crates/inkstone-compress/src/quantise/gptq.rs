//! GPTQ (arXiv:2210.17323): columns are rounded one after the other, and what a rounding got wrong is taken off the columns that are left, so that
//! the product with typical inputs changes least.
//!
//! Departure: the scales of a block are chosen when its first column comes up, for the numbers as they are by then, with errors weighted by the
//! inputs' mean squares; the paper has one scale for a row or a group.

use inkstone_kernels::quantised::{BlockQuantiser, quantise as nearest};
use inkstone_nn::{BlockFormat, Moments};
use rayon::prelude::*;

use super::cholesky::inverse_factor;

/// What is added to the diagonal, as a share of its mean (section 4, "Additional Details": 1 %).
const DAMPING: f64 = 0.01;

/// The blocks of `values[rows, width]`, given the second moments of the inputs. Where these say nothing (no input ever differed from zero), or were
/// not measured, round to nearest.
pub(super) fn quantise(format: BlockFormat, values: &[f32], width: usize, moments: &Moments) -> Vec<u8> {
    let squares = moments.mean_squares();
    let Some(factor) = moments.products().and_then(|products| factor(&products, width)) else {
        return nearest(format, values, width, Some(&squares));
    };
    let bytes = format.block_bytes();
    let mut blocks = vec![0; values.len() / format.elements() * bytes];
    let rows = blocks.par_chunks_mut(width / format.elements() * bytes).zip(values.par_chunks(width));
    rows.for_each(|(blocks, row)| quantise_row(format, row.to_vec(), (&squares, &factor), blocks));
    blocks
}

/// `U`, each row divided by its diagonal: how much of a column's error each later column takes.
fn factor(products: &[f32], n: usize) -> Option<Vec<f32>> {
    let mut h: Vec<f64> = products.iter().map(|&x| f64::from(x)).collect();
    let mean = (0..n).map(|i| h[i * n + i]).sum::<f64>() / n as f64;
    (0..n).for_each(|i| h[i * n + i] += DAMPING * mean);
    let factor = inverse_factor(&h, n)?;
    let scaled = |i: usize| (factor[i] / factor[i / n * n + i / n]) as f32;
    Some((0..n * n).map(scaled).collect())
}

fn quantise_row(format: BlockFormat, mut row: Vec<f32>, (squares, factor): (&[f32], &[f32]), blocks: &mut [u8]) {
    let (n, elements) = (row.len(), format.elements());
    for (b, block) in blocks.chunks_exact_mut(format.block_bytes()).enumerate() {
        let first = b * elements;
        let range = first..first + elements;
        let mut quantiser = BlockQuantiser::fit(format, &row[range.clone()], Some(&squares[range]));
        for place in 0..elements {
            let column = first + place;
            let error = row[column] - quantiser.round(place, row[column]);
            let shares = &factor[column * n..][column + 1..n];
            row[column + 1..].iter_mut().zip(shares).for_each(|(later, share)| *later -= error * share);
        }
        quantiser.write(block);
    }
}
