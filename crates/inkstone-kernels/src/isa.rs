//! What this processor can do, and how fast it does it.

use std::time::Instant;

use rayon::prelude::*;

use crate::{LinearShape, Precision, linear};

/// The instruction set that matrix products use, as recorded in artifacts: results may differ in
/// the last bits between two of them, never between two runs on one.
pub fn numeric_path() -> String {
    let widest = features().into_iter().rev().find(|&(name, has)| has && matches!(name, "avx512f" | "fma" | "neon"));
    format!(
        "{} {}",
        std::env::consts::ARCH,
        widest.map_or("portable", |(name, _)| if name == "fma" { "avx2+fma" } else { name })
    )
}

/// Processor features that matter here, and whether they are present.
#[cfg(target_arch = "x86_64")]
pub fn features() -> Vec<(&'static str, bool)> {
    use std::is_x86_feature_detected as has;
    let amx = amx();
    vec![
        ("avx2", has!("avx2")),
        ("fma", has!("fma")),
        ("avx512f", has!("avx512f")),
        ("avx512_bf16", has!("avx512bf16")),
        ("avx512_vnni", has!("avx512vnni")),
        ("amx_tile", amx.0),
        ("amx_bf16", amx.1),
        ("amx_int8", amx.2),
    ]
}

/// Processor features that matter here, and whether they are present.
#[cfg(target_arch = "aarch64")]
pub fn features() -> Vec<(&'static str, bool)> {
    use std::arch::is_aarch64_feature_detected as has;
    vec![("neon", has!("neon")), ("bf16", has!("bf16")), ("i8mm", has!("i8mm")), ("sve", has!("sve"))]
}

/// Processor features that matter here, and whether they are present.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn features() -> Vec<(&'static str, bool)> {
    Vec::new()
}

/// AMX tiles, bf16 and int8, by CPUID leaf 7 (Intel SDM volume 2, CPUID).
#[cfg(target_arch = "x86_64")]
fn amx() -> (bool, bool, bool) {
    if std::arch::x86_64::__get_cpuid_max(0).0 < 7 {
        return (false, false, false);
    }
    let leaf = std::arch::x86_64::__cpuid_count(7, 0).edx;
    (leaf >> 24 & 1 == 1, leaf >> 22 & 1 == 1, leaf >> 25 & 1 == 1)
}

/// Measured rates of this machine with all threads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Single-precision products, FLOP/s.
    pub flops_per_second: f64,
    /// Reading main memory, bytes/s.
    pub bytes_per_second: f64,
}

/// Measures both rates in about a third of a second.
pub fn measure() -> Rates {
    Rates { flops_per_second: measure_products(), bytes_per_second: measure_reading() }
}

fn measure_products() -> f64 {
    let shape = LinearShape { rows: 1024, inputs: 512, outputs: 1024 };
    let (x, w) = (vec![0.5; shape.rows * shape.inputs], vec![0.25; shape.outputs * shape.inputs]);
    let mut y = vec![0.0; shape.rows * shape.outputs];
    let flops = 2.0 * (shape.rows * shape.inputs * shape.outputs) as f64;
    flops / fastest(8, || linear(&mut y, &x, &w, shape, Precision::F32))
}

fn measure_reading() -> f64 {
    let data = vec![1u64; 1 << 24];
    let bytes = (data.len() * 8) as f64;
    bytes
        / fastest(4, || {
            std::hint::black_box(
                data.par_chunks(1 << 16).map(|chunk| chunk.iter().fold(0u64, |sum, x| sum.wrapping_add(*x))).max(),
            );
        })
}

fn fastest(times: usize, mut run: impl FnMut()) -> f64 {
    run();
    let once = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    (0..times).map(|_| once(&mut run)).fold(f64::INFINITY, f64::min).max(1e-9)
}
