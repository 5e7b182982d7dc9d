use inkstone_kernels::{
    Gelu, LayerNormGrads, add_bias, add_bias_backward, gelu, gelu_backward, layer_norm, layer_norm_backward, reference,
};

use crate::{close, gradient_is, numbers};

#[test]
fn layer_norm_and_its_gradients() {
    for (rows, width) in [(1, 1), (3, 7), (130, 48), (2, 100)] {
        let (x, dy) = (numbers(1, rows * width), numbers(3, rows * width));
        let (weight, bias) = (numbers(2, width), numbers(4, width));
        let mut y = vec![0.0; x.len()];
        layer_norm(&mut y, &x, (&weight, &bias), 1e-1);
        close(&y, &reference::layer_norm(&x, (&weight, &bias), 1e-1), 1e-5);
        let (mut dx, mut dweight, mut dbias) = (vec![9.0; x.len()], vec![9.0; width], vec![9.0; width]);
        let grads = LayerNormGrads { dx: &mut dx, dweight: &mut dweight, dbias: &mut dbias };
        layer_norm_backward(grads, &dy, &x, &weight, 1e-1);
        gradient_is(&dx, &x, &dy, |x| reference::layer_norm(x, (&weight, &bias), 1e-1));
        gradient_is(&dweight, &weight, &dy, |weight| reference::layer_norm(&x, (weight, &bias), 1e-1));
        gradient_is(&dbias, &bias, &dy, |bias| reference::layer_norm(&x, (&weight, bias), 1e-1));
    }
}

#[test]
fn gelu_and_its_gradient() {
    let x: Vec<f32> = numbers(1, 999).iter().map(|x| x * 6.0).collect();
    let dy = numbers(2, 999);
    for form in [Gelu::Exact, Gelu::Tanh] {
        let mut y = vec![0.0; 999];
        gelu(&mut y, &x, form);
        close(&y, &reference::gelu(&x, form), 1e-6);
        let mut dx = vec![9.0; 999];
        gelu_backward(&mut dx, &dy, &x, form);
        gradient_is(&dx, &x, &dy, |x| reference::gelu(x, form));
    }
}

#[test]
fn gelu_survives_extremes() {
    for form in [Gelu::Exact, Gelu::Tanh] {
        let mut y = [9.0; 4];
        gelu(&mut y, &[-1e10, 1e10, -30.0, 30.0], form);
        assert!(y[0].abs() < 1e-6 && y[1] == 1e10 && y[2].abs() < 1e-6 && y[3] == 30.0, "{form:?}: {y:?}");
    }
}

#[test]
fn a_bias_is_added_to_every_row_and_gathers_the_sum_of_all() {
    let (x, bias, dy) = (numbers(1, 130 * 5), numbers(2, 5), numbers(3, 130 * 5));
    let mut y = x.clone();
    add_bias(&mut y, &bias);
    let expected: Vec<f32> = x.iter().enumerate().map(|(n, x)| x + bias[n % 5]).collect();
    assert_eq!(y, expected);
    let mut dbias = [9.0; 5];
    add_bias_backward(&mut dbias, &dy);
    let sum = |column: usize| dy.iter().skip(column).step_by(5).map(|&x| f64::from(x)).sum::<f64>() as f32;
    close(&dbias, &[sum(0), sum(1), sum(2), sum(3), sum(4)], 1e-5);
}

#[test]
fn byte_equal_at_any_number_of_threads() {
    let (x, dy, weight, bias) = (numbers(1, 301 * 130), numbers(2, 301 * 130), numbers(3, 130), numbers(4, 130));
    let everything = || {
        let mut y = x.clone();
        layer_norm(&mut y, &x, (&weight, &bias), 1e-5);
        let (mut dx, mut dweight, mut dbias) = (x.clone(), weight.clone(), bias.clone());
        let grads = LayerNormGrads { dx: &mut dx, dweight: &mut dweight, dbias: &mut dbias };
        layer_norm_backward(grads, &dy, &x, &weight, 1e-5);
        let (mut g, mut dg, mut sum) = (x.clone(), x.clone(), bias.clone());
        gelu(&mut g, &x, Gelu::Exact);
        gelu_backward(&mut dg, &dy, &x, Gelu::Tanh);
        add_bias_backward(&mut sum, &dy);
        [y, dx, dweight, dbias, g, dg, sum].concat()
    };
    let with = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(everything);
    let one = with(1);
    assert!([2, 3, 8].into_iter().all(|threads| with(threads) == one));
}
