//! Blocks against the `gguf` package, products against blocks taken at their word.

use std::path::PathBuf;

use inkstone_kernels::LinearShape;
use inkstone_kernels::quantised::{BlockFormat, Packed, dequantise, quantise, quantised_linear, quantised_linears};
use inkstone_kernels::reference;

use crate::numbers;

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/quantised").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn values_of(format: BlockFormat, blocks: &[u8]) -> Vec<f32> {
    let mut values = vec![0.0; blocks.len() / format.block_bytes() * format.elements()];
    dequantise(format, blocks, &mut values);
    values
}

#[test]
fn blocks_mean_what_they_mean_elsewhere() {
    for format in BlockFormat::ALL {
        let got = values_of(format, &fixture(&format!("{}.blocks", format.name())));
        let expected = floats(&fixture(&format!("{}.f32", format.name())));
        assert!(got == expected, "{}", format.name());
    }
}

#[test]
fn plain_formats_are_written_byte_for_byte_as_elsewhere() {
    let weights = floats(&fixture("weights.f32"));
    for format in [BlockFormat::Q8_0, BlockFormat::Q4_0] {
        let got = quantise(format, &weights, 512, None);
        assert!(got == fixture(&format!("{}.quantised", format.name())), "{}", format.name());
    }
}

/// The root of the mean squared error, relative to that of the values.
fn error(format: BlockFormat, values: &[f32], importance: Option<&[f32]>) -> f64 {
    let blocks = quantise(format, values, 256, importance);
    let back = values_of(format, &blocks);
    let weight = |n: usize| f64::from(importance.map_or(1.0, |weights| weights[n % 256]));
    let sum = |f: &dyn Fn(usize) -> f32| (0..values.len()).map(|n| weight(n) * f64::from(f(n)).powi(2)).sum::<f64>();
    (sum(&|n| back[n] - values[n]) / sum(&|n| values[n])).sqrt()
}

#[test]
fn each_bit_more_loses_less() {
    // Sums of four draws: near enough to the bell of real weights.
    let draws: Vec<Vec<f32>> = (0..4).map(|seed| numbers(seed, 4096)).collect();
    let values: Vec<f32> = (0..4096).map(|n| draws.iter().map(|draw| draw[n]).sum::<f32>() * 0.02).collect();
    let bounds =
        [(BlockFormat::Q4_0, 0.095), (BlockFormat::Q4_K, 0.08), (BlockFormat::Q5_K, 0.04), (BlockFormat::Q6_K, 0.02)];
    for (format, bound) in bounds {
        let error = error(format, &values, None);
        assert!(error < bound && error > bound / 3.0, "{}: {error}", format.name());
    }
    assert!(error(BlockFormat::Q8_0, &values, None) < 0.006);
    let nothing = quantise(BlockFormat::Q4_K, &[0.0; 256], 256, None);
    assert!(values_of(BlockFormat::Q4_K, &nothing).iter().all(|&x| x == 0.0));
}

#[test]
fn what_is_important_loses_less() {
    let values = numbers(3, 4096);
    let importance: Vec<f32> = (0..256).map(|n| if n % 8 == 0 { 50.0 } else { 1.0 }).collect();
    for format in [BlockFormat::Q4_0, BlockFormat::Q4_K, BlockFormat::Q5_K, BlockFormat::Q6_K] {
        let weighted = |importance: Option<&[f32]>| {
            let back = values_of(format, &quantise(format, &values, 256, importance));
            values.iter().zip(&back).step_by(8).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>()
        };
        assert!(weighted(Some(&importance)) < weighted(None), "{}", format.name());
    }
}

#[test]
fn blocks_survive_being_read_and_written_again() {
    for format in BlockFormat::WRITTEN {
        let blocks = quantise(format, &numbers(9, 1024), 256, None);
        let values = values_of(format, &blocks);
        let again = values_of(format, &quantise(format, &values, 256, None));
        let largest = values.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let moved = values.iter().zip(&again).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        assert!(moved < largest * 0.08, "{}: {moved} of {largest}", format.name());
    }
}

/// Rows whose rounding to eight bits is exact, so that the oracle needs no rounding of its own.
fn exact_rows(rows: usize, inputs: usize) -> Vec<f32> {
    let mut x: Vec<f32> = numbers(7, rows * inputs).iter().map(|x| (x * 127.0).round() / 64.0).collect();
    x.chunks_exact_mut(32).for_each(|block| block[5] = 127.0 / 64.0);
    x
}

#[test]
fn bfloat16_is_multiplied_as_it_is() {
    for (rows, outputs, inputs) in [(1, 40, 512), (5, 16, 34), (27, 37, 96)] {
        let halves = |seed, n| numbers(seed, n).iter().map(|&x| half::bf16::from_f32(x)).collect::<Vec<_>>();
        let (x, w) = (halves(1, rows * inputs), halves(2, outputs * inputs));
        let bytes: Vec<u8> = w.iter().flat_map(|w| w.to_le_bytes()).collect();
        let [x, w] = [x, w].map(|halves| halves.iter().map(|x| x.to_f32()).collect::<Vec<f32>>());
        let packed = Packed::bf16(&bytes, [outputs, inputs]).unwrap();
        assert!(packed.values() == w && packed.row_norms()[7] - norm(&w[7 * inputs..8 * inputs]) < 1e-5);
        let mut y = vec![9.0; rows * outputs];
        quantised_linear(&mut y, &x, &packed, rows);
        crate::close(&y, &reference::linear(&x, &w, LinearShape { rows, inputs, outputs }), 1e-5);
        for row in 0..rows {
            let mut alone = vec![9.0; outputs];
            quantised_linear(&mut alone, &x[row * inputs..(row + 1) * inputs], &packed, 1);
            assert!(alone == y[row * outputs..(row + 1) * outputs], "row {row} depends on the others");
        }
    }
    assert!(Packed::bf16(&[0; 6], [1, 3]).is_none());
}

#[test]
fn several_weights_at_once_give_what_each_gives() {
    let formats = [BlockFormat::Q4_0, BlockFormat::Q8_0, BlockFormat::Q6_K, BlockFormat::Q6_K, BlockFormat::Q4_K];
    let packed = formats.map(|format| Packed::new(format, &some_blocks(format, [37, 512]), [37, 512]));
    let x = numbers(4, 13 * 512);
    let (mut all, mut one) = (vec![vec![9.0; 13 * 37]; 5], vec![9.0; 13 * 37]);
    let mut ys: Vec<&mut [f32]> = all.iter_mut().map(Vec::as_mut_slice).collect();
    quantised_linears(&mut ys, &x, &packed.each_ref(), 13);
    for (w, y) in packed.iter().zip(&all) {
        quantised_linear(&mut one, &x, w, 13);
        assert!(&one == y);
    }
}

fn norm(row: &[f32]) -> f32 {
    row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32
}

/// Blocks of a format, from the fixture over and over.
fn some_blocks(format: BlockFormat, [outputs, inputs]: [usize; 2]) -> Vec<u8> {
    let blocks = fixture(&format!("{}.blocks", format.name()));
    // Shifted by a block each time round, so that rows differ.
    let bytes = format.block_bytes();
    let n = outputs * inputs / format.elements();
    (0..n).flat_map(|block| blocks[(block + block / 7) % 4 * bytes..][..bytes].to_vec()).collect()
}

#[test]
fn products_are_those_of_the_numbers_that_blocks_stand_for() {
    for format in BlockFormat::ALL {
        for (rows, outputs, inputs) in [(1, 40, 512), (3, 16, 256), (13, 37, 768)] {
            let blocks = some_blocks(format, [outputs, inputs]);
            let packed = Packed::new(format, &blocks, [outputs, inputs]);
            let x = exact_rows(rows, inputs);
            let mut got = vec![f32::NAN; rows * outputs];
            quantised_linear(&mut got, &x, &packed, rows);
            let expected = reference::linear(&x, &values_of(format, &blocks), LinearShape { rows, inputs, outputs });
            let norms = values_of(format, &blocks).chunks_exact(inputs).map(norm).collect::<Vec<_>>();
            crate::close(&packed.row_norms(), &norms, 1e-5);
            crate::close(&packed.values(), &values_of(format, &blocks), 1e-6);
            let largest = expected.iter().fold(0.0_f32, |most, y| most.max(y.abs()));
            for (got, expected) in got.iter().zip(&expected) {
                assert!((got - expected).abs() < largest * 1e-5, "{}: {got}, expected {expected}", format.name());
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_the_others_nor_on_threads() {
    let (rows, outputs, inputs) = (23, 200, 512);
    let x = numbers(4, rows * inputs);
    for format in [BlockFormat::Q8_0, BlockFormat::Q4_K, BlockFormat::Q6_K] {
        let packed = Packed::new(format, &some_blocks(format, [outputs, inputs]), [outputs, inputs]);
        let product = |x: &[f32], rows: usize| {
            let mut y = vec![0.0; rows * outputs];
            quantised_linear(&mut y, x, &packed, rows);
            y
        };
        let all = product(&x, rows);
        for (row, expected) in all.chunks_exact(outputs).enumerate() {
            assert!(product(&x[row * inputs..][..inputs], 1) == expected, "{}, row {row}", format.name());
        }
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pool.install(|| product(&x, rows)) == all, "{}, {threads} threads", format.name());
        }
    }
}

#[test]
fn what_is_not_finite_stays_so() {
    let packed = Packed::new(BlockFormat::Q4_0, &some_blocks(BlockFormat::Q4_0, [16, 64]), [16, 64]);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = numbers(1, 64);
        x[40] = bad;
        let mut y = vec![0.0; 16];
        quantised_linear(&mut y, &x, &packed, 1);
        assert!(y.iter().all(|y| !y.is_finite()), "{y:?}");
    }
}

/// Blocks of any bytes have a meaning, and the fast product agrees with it also at the ends of the integers' ranges.
#[test]
fn extreme_blocks_do_not_overflow() {
    for format in BlockFormat::ALL {
        for byte in [0x00, 0x80, 0x7f, 0xff] {
            let mut blocks = vec![byte; format.bytes_of(16 * 256).unwrap()];
            let one = half::f16::ONE.to_le_bytes();
            let scales: &[usize] = match format {
                BlockFormat::Q4_1 | BlockFormat::Q5_1 | BlockFormat::Q4_K | BlockFormat::Q5_K => &[0, 2],
                BlockFormat::Q2_K => &[80, 82],
                BlockFormat::Q3_K => &[108],
                BlockFormat::Q6_K => &[208],
                _ => &[0],
            };
            for block in blocks.chunks_exact_mut(format.block_bytes()) {
                for &at in scales {
                    block[at..at + 2].copy_from_slice(&one);
                }
            }
            let packed = Packed::new(format, &blocks, [16, 256]);
            for sign in [1.0, -1.0] {
                let (x, mut y) = (vec![sign * 127.0; 256], vec![0.0; 16]);
                quantised_linear(&mut y, &x, &packed, 1);
                let shape = LinearShape { rows: 1, inputs: 256, outputs: 16 };
                let expected = reference::linear(&x, &values_of(format, &blocks), shape);
                let close = |(y, e): (&f32, &f32)| (y - e).abs() <= 1e-4 * e.abs().max(1.0);
                assert!(
                    y.iter().zip(&expected).all(close),
                    "{} of {byte}: {} and {}",
                    format.name(),
                    y[0],
                    expected[0]
                );
            }
        }
    }
}
