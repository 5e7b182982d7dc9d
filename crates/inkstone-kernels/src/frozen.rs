//! Weights that are kept in few bits because nothing changes them any more, as `QLoRA` has them.
//!
//! Sources: 4 bits, "NF4" with double quantisation (arXiv:2305.14314, sections 3 and appendix E); 8 bits, a scale for each row
//! (arXiv:2208.07339, section 2.1). The second quantisation is the dynamic tree of arXiv:2110.02861, section 1.3.

use crate::expect_len;

/// Numbers that share a scale.
const BLOCK: usize = 64;
/// Scales that share a scale of their own.
const SCALES: usize = 256;

/// The quantiles of a normal distribution that 4 bits stand for.
const NORMAL: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// How a frozen weight is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrozenFormat {
    /// 4 bits for each number and about 0.127 for scales.
    Nf4,
    /// 8 bits for each number and a scale for each row.
    Int8,
}

/// A weight `[rows, columns]` in few bits.
#[derive(Debug, Clone)]
pub struct FrozenWeight {
    shape: [usize; 2],
    kept: Kept,
}

#[derive(Debug, Clone)]
enum Kept {
    Nf4 {
        /// Two to a byte, the first in the upper half.
        codes: Vec<u8>,
        /// For each block the code of its scale.
        scales: Vec<u8>,
        /// For each group of scales the largest one's size.
        sizes: Vec<f32>,
        /// What was taken off every scale.
        mean: f32,
    },
    Int8 {
        codes: Vec<i8>,
        /// Largest size of each row.
        sizes: Vec<f32>,
    },
}

impl FrozenWeight {
    /// The nearest numbers to `values[rows, columns]`.
    ///
    /// # Panics
    /// If the lengths don't belong together.
    pub fn new(values: &[f32], shape: [usize; 2], format: FrozenFormat) -> Self {
        expect_len("values", values.len(), shape[0] * shape[1]);
        let kept = match format {
            FrozenFormat::Nf4 => nf4(values),
            FrozenFormat::Int8 => int8(values, shape[1]),
        };
        Self { shape, kept }
    }

    /// `[rows, columns]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        match &self.kept {
            Kept::Nf4 { codes, scales, sizes, .. } => codes.len() + scales.len() + 4 * sizes.len() + 4,
            Kept::Int8 { codes, sizes } => codes.len() + 4 * sizes.len(),
        }
    }

    /// The numbers that it stands for, `[rows, columns]`.
    ///
    /// # Panics
    /// If `values` has another length.
    pub fn dequantise(&self, values: &mut [f32]) {
        expect_len("values", values.len(), self.shape[0] * self.shape[1]);
        match &self.kept {
            Kept::Nf4 { codes, scales, sizes, mean } => {
                let tree = dynamic_tree();
                for (n, block) in values.chunks_mut(BLOCK).enumerate() {
                    let scale = tree[usize::from(scales[n])] * sizes[n / SCALES] + mean;
                    for (at, value) in block.iter_mut().enumerate() {
                        let place = n * BLOCK + at;
                        let pair = codes[place / 2];
                        let code = if at % 2 == 0 { pair >> 4 } else { pair & 15 };
                        *value = NORMAL[usize::from(code)] * scale;
                    }
                }
            }
            Kept::Int8 { codes, sizes } => {
                let rows = values.chunks_mut(self.shape[1].max(1)).zip(codes.chunks(self.shape[1].max(1))).zip(sizes);
                for ((row, codes), size) in rows {
                    let scale = size * (1.0 / 127.0);
                    row.iter_mut().zip(codes).for_each(|(value, &code)| *value = f32::from(code) * scale);
                }
            }
        }
    }
}

fn size(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, value| most.max(value.abs()))
}

fn nf4(values: &[f32]) -> Kept {
    let scales: Vec<f32> = values.chunks(BLOCK).map(size).collect();
    let mut codes = vec![0_u8; values.len().div_ceil(2)];
    for (n, (block, &scale)) in values.chunks(BLOCK).zip(&scales).enumerate() {
        for (at, &value) in block.iter().enumerate() {
            let code = nearest(&NORMAL, if scale > 0.0 { value / scale } else { 0.0 });
            let place = n * BLOCK + at;
            codes[place / 2] |= if at % 2 == 0 { code << 4 } else { code };
        }
    }
    let mean = (scales.iter().map(|&scale| f64::from(scale)).sum::<f64>() / scales.len().max(1) as f64) as f32;
    let centred: Vec<f32> = scales.iter().map(|scale| scale - mean).collect();
    let sizes: Vec<f32> = centred.chunks(SCALES).map(size).collect();
    let tree = dynamic_tree();
    let code = |(n, &scale): (usize, &f32)| {
        let size = sizes[n / SCALES];
        nearest(&tree, if size > 0.0 { scale / size } else { 0.0 })
    };
    Kept::Nf4 { codes, scales: centred.iter().enumerate().map(code).collect(), sizes, mean }
}

fn int8(values: &[f32], columns: usize) -> Kept {
    let rows = || values.chunks(columns.max(1));
    let sizes: Vec<f32> = rows().map(size).collect();
    let code = |value: f32, size: f32| if size > 0.0 { (value * (127.0 / size)).round_ties_even() as i8 } else { 0 };
    let codes = rows().zip(&sizes).flat_map(|(row, &size)| row.iter().map(move |&value| code(value, size))).collect();
    Kept::Int8 { codes, sizes }
}

/// The place of the number in the ascending `table` that is nearest to `value`.
fn nearest(table: &[f32], value: f32) -> u8 {
    let above = table.partition_point(|&number| number < value).clamp(1, table.len() - 1);
    let closer = value - table[above - 1] <= table[above] - value;
    (above - usize::from(closer)) as u8
}

/// The 256 numbers of the dynamic tree, ascending: for each power of ten down to 10⁻⁶ twice as many as for the one below, in the
/// middle of equal parts of a tenth to one, of both signs; 0 and 1.
fn dynamic_tree() -> [f32; 256] {
    let mut numbers = vec![0.0, 1.0];
    for power in 0..7_i32 {
        let parts = 1_u32 << power;
        let step = 0.9 / f64::from(parts);
        for part in 0..parts {
            let middle = 10.0_f64.powi(power - 6) * (0.1 + step * (f64::from(part) + 0.5));
            numbers.extend([middle as f32, -middle as f32]);
        }
    }
    numbers.sort_by(f32::total_cmp);
    std::array::from_fn(|at| numbers[at])
}

#[cfg(test)]
mod tests {
    use super::{FrozenFormat, FrozenWeight, NORMAL, dynamic_tree, nearest};

    fn values(n: usize) -> Vec<f32> {
        (0..n).map(|at| ((at * 37 % 101) as f32 - 50.0) * (1.0 + 0.1 * (at / 64 % 7) as f32)).collect()
    }

    fn through(values: &[f32], shape: [usize; 2], format: FrozenFormat) -> (Vec<f32>, usize) {
        let frozen = FrozenWeight::new(values, shape, format);
        let mut back = vec![f32::NAN; values.len()];
        frozen.dequantise(&mut back);
        (back, frozen.bytes())
    }

    #[test]
    fn numbers_come_back_nearly_and_take_few_bits() {
        let shape = [48, 700];
        let values = values(shape[0] * shape[1]);
        for (format, share, bits) in [(FrozenFormat::Nf4, 0.2, 4.2), (FrozenFormat::Int8, 0.005, 8.1)] {
            let (back, bytes) = through(&values, shape, format);
            let worst = |(block, back): (&[f32], &[f32])| {
                let off = block.iter().zip(back).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                off / super::size(block).max(1e-9)
            };
            let length = if format == FrozenFormat::Nf4 { 64 } else { shape[1] };
            let off = values.chunks(length).zip(back.chunks(length)).map(worst).fold(0.0, f32::max);
            assert!(off < share, "{format:?}: off by {off} of the largest");
            assert!((bytes * 8) as f64 / (values.len() as f64) < bits, "{format:?}: {bytes} bytes");
        }
    }

    #[test]
    fn zeros_odd_lengths_and_the_edges_of_tables_are_met() {
        for format in [FrozenFormat::Nf4, FrozenFormat::Int8] {
            assert_eq!(through(&[0.0; 65], [13, 5], format).0, [0.0; 65]);
            let (back, _) = through(&[3.0; 7], [1, 7], format);
            assert!(back.iter().all(|x| (x - 3.0).abs() < 1e-5), "{format:?}: {back:?}");
            assert!(through(&[], [0, 4], format).0.is_empty());
        }
        assert_eq!([-9.0, -1.0, 0.0, 1.0, 9.0].map(|x| nearest(&NORMAL, x)), [0, 0, 7, 15, 15]);
        let tree = dynamic_tree();
        assert!(tree.is_sorted() && tree[127] == 0.0 && tree[255] == 1.0);
    }
}
