use inkstone_kernels::{Cell, CellBackward, CellStep, cell, cell_backward, reference};

use crate::{close, numbers};

const CELLS: [Cell; 3] = [Cell::Elman, Cell::Lstm, Cell::Gru];
/// Rows and units: less than a vector, whole vectors, and a rest.
const SIZES: [(usize, usize); 3] = [(1, 3), (2, 16), (5, 37)];

/// What goes into a step of so many rows: x, u, hidden and cell state before.
fn inputs(kind: Cell, rows: usize, hidden: usize) -> [Vec<f32>; 4] {
    let (wide, narrow) = (rows * kind.gates() * hidden, rows * hidden);
    let scaled = |seed: u64, n: usize| numbers(seed, n).into_iter().map(|x| 3.0 * x).collect();
    let state = if kind == Cell::Lstm { narrow } else { 0 };
    [scaled(1, wide), scaled(2, wide), numbers(3, narrow), scaled(4, state)]
}

/// The plain version over all rows: hidden and cell states after.
fn plain(kind: Cell, hidden: usize, inputs: &[Vec<f64>; 4]) -> (Vec<f64>, Vec<f64>) {
    let [x, u, h, c] = inputs;
    let wide = kind.gates() * hidden;
    let states = (0..h.len() / hidden).map(|r| {
        let c = if c.is_empty() { &[][..] } else { &c[r * hidden..][..hidden] };
        reference::cell(kind, [&x[r * wide..][..wide], &u[r * wide..][..wide]], [&h[r * hidden..][..hidden], c])
    });
    let (h, c): (Vec<_>, Vec<_>) = states.unzip();
    (h.concat(), c.concat())
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&x| x as f32).collect()
}

/// Runs the fast step; the gates, hidden and cell states after it.
fn fast(kind: Cell, hidden: usize, [x, u, h_before, c_before]: &[Vec<f32>; 4]) -> [Vec<f32>; 3] {
    let (mut gates, mut h, mut c) = (x.clone(), vec![9.0; h_before.len()], vec![9.0; c_before.len()]);
    cell(kind, hidden, CellStep { x: &mut gates, u, h_before, c_before, h: &mut h, c: &mut c });
    [gates, h, c]
}

#[test]
fn cells_equal_the_reference() {
    for kind in CELLS {
        for (rows, hidden) in SIZES {
            let inputs = inputs(kind, rows, hidden);
            let [_, h, c] = fast(kind, hidden, &inputs);
            let (expected_h, expected_c) = plain(kind, hidden, &inputs.map(|x| x.into_iter().map(f64::from).collect()));
            close(&h, &narrow(&expected_h), 2e-6);
            close(&c, &narrow(&expected_c), 2e-6);
        }
    }
}

#[test]
fn the_way_back_is_the_slope_of_the_reference() {
    for kind in CELLS {
        for (rows, hidden) in SIZES {
            let given = inputs(kind, rows, hidden);
            let [mut gates, h, c] = fast(kind, hidden, &given);
            let [_, u, h_before, c_before] = &given;
            let (mut du, mut dh, mut dc) = (u.clone(), numbers(5, h.len()), numbers(6, c.len()));
            let (along_h, along_c) = (dh.clone(), dc.clone());
            let (x, u) = (&mut gates, &mut du);
            let (dh_mut, dc_mut) = (&mut dh, &mut dc);
            let step = CellBackward { x, u, h_before, c_before, h: &h, c: &c, dh: dh_mut, dc: dc_mut };
            cell_backward(kind, hidden, step);
            let exact = given.map(|x| x.into_iter().map(f64::from).collect::<Vec<f64>>());
            // The reference's results weighed as `dh` and `dc` were: their slopes are the gradients.
            let weighed = |inputs: &[Vec<f64>; 4]| {
                let (h, c) = plain(kind, hidden, inputs);
                let sum = |a: &[f64], b: &[f32]| a.iter().zip(b).map(|(a, &b)| a * f64::from(b)).sum::<f64>();
                sum(&h, &along_h) + sum(&c, &along_c)
            };
            for (n, got) in [&gates, &du, &dh, &dc].into_iter().enumerate() {
                let slope = |at: usize| {
                    let moved = |by: f64| {
                        let mut inputs = exact.clone();
                        inputs[n][at] += by;
                        weighed(&inputs)
                    };
                    ((moved(1e-4) - moved(-1e-4)) / 2e-4) as f32
                };
                close(got, &(0..got.len()).map(slope).collect::<Vec<f32>>(), 1e-5);
            }
        }
    }
}
