use inkstone_kernels::{
    LinearShape, PackedWeight, Precision, add_linear_grad_input, linear, linear_grad_input, linear_grad_weight,
    reference,
};

use crate::{close, numbers};

const SHAPES: [(usize, usize, usize); 14] = [
    (0, 3, 4),
    (1, 0, 5),
    (1, 1, 1),
    (1, 33, 1000),
    (1, 700, 513),
    (2, 3, 5),
    (7, 13, 17),
    (31, 64, 33),
    (64, 64, 64),
    (97, 101, 103),
    (256, 48, 96),
    (129, 257, 65),
    (300, 32, 1031),
    (1025, 16, 17),
];

#[test]
fn all_layouts_equal_their_references_on_any_shape() {
    for (rows, inputs, outputs) in SHAPES {
        let shape = LinearShape { rows, inputs, outputs };
        let (x, w, dy) = (numbers(1, rows * inputs), numbers(2, outputs * inputs), numbers(3, rows * outputs));
        let (mut y, mut dx, mut dw) =
            (vec![9.0; rows * outputs], vec![9.0; rows * inputs], vec![9.0; outputs * inputs]);
        linear(&mut y, &x, &w, shape, Precision::F32);
        close(&y, &reference::linear(&x, &w, shape), 1e-4);
        linear_grad_input(&mut dx, &dy, &w, shape, Precision::F32);
        close(&dx, &reference::linear_grad_input(&dy, &w, shape), 1e-4);
        let twice: Vec<f32> = dx.iter().map(|x| 2.0 * x).collect();
        add_linear_grad_input(&mut dx, &dy, &w, shape, Precision::F32);
        close(&dx, &twice, 1e-6);
        linear_grad_weight(&mut dw, &dy, &x, shape, Precision::F32);
        close(&dw, &reference::linear_grad_weight(&dy, &x, shape), 1e-4);
    }
}

#[test]
fn a_packed_weight_gives_the_same_bits() {
    for precision in [Precision::F32, Precision::Bf16] {
        for (rows, inputs, outputs) in SHAPES.into_iter().filter(|&(rows, ..)| rows > 4) {
            let shape = LinearShape { rows, inputs, outputs };
            let (x, w, dy) = (numbers(1, rows * inputs), numbers(2, outputs * inputs), numbers(3, rows * outputs));
            let mut results = [vec![0.0; dy.len()], vec![9.0; dy.len()], vec![0.0; x.len()], vec![9.0; x.len()]];
            let [y, packed_y, dx, packed_dx] = &mut results;
            linear(y, &x, &w, shape, precision);
            PackedWeight::forward(&w, shape, precision).multiply(packed_y, &x);
            linear_grad_input(dx, &dy, &w, shape, precision);
            PackedWeight::backward(&w, shape, precision).multiply(packed_dx, &dy);
            assert!(y == packed_y && dx == packed_dx, "{shape:?}");
        }
    }
}

#[test]
fn bf16_rounds_the_operands_and_nothing_else() {
    let shape = LinearShape { rows: 5, inputs: 40, outputs: 7 };
    let (x, w) = (numbers(1, 200), numbers(2, 280));
    let rounded = |v: &[f32]| v.iter().map(|&x| half::bf16::from_f32(x).to_f32()).collect::<Vec<_>>();
    let mut y = vec![0.0; 35];
    linear(&mut y, &x, &w, shape, Precision::Bf16);
    close(&y, &reference::linear(&rounded(&x), &rounded(&w), shape), 1e-6);
    assert!(y.iter().zip(reference::linear(&x, &w, shape)).any(|(a, b)| (a - b).abs() > 1e-4), "nothing was rounded");
}

#[test]
fn not_a_number_and_infinity_come_through() {
    let shape = LinearShape { rows: 2, inputs: 3, outputs: 2 };
    let mut y = vec![0.0; 4];
    linear(&mut y, &[1.0, f32::NAN, 0.0, 1.0, 2.0, f32::INFINITY], &[1.0; 6], shape, Precision::F32);
    assert!(y[0].is_nan() && y[2].is_infinite(), "{y:?}");
}
