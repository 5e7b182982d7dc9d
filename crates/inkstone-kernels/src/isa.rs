//! What this processor can do, and how fast it does it.

use std::sync::OnceLock;
use std::time::Instant;

use rayon::prelude::*;

use crate::product::Roof;
use crate::{LinearShape, Precision, linear};

/// The paths that kernels are compiled for, slowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Whatever the target always has (SSE2 on x86-64, NEON on aarch64).
    Portable,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 with F, BW, CD, DQ and VL.
    Avx512,
    /// AVX-512 with dot products of bfloat16.
    Avx512Bf16,
}

impl Isa {
    /// All of them, slowest first.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Bf16];

    /// The name that `INKSTONE_ISA` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512-bf16",
        }
    }

    /// Whether this machine can run it.
    #[cfg(target_arch = "x86_64")]
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Avx2 => pulp::x86::V3::is_available(),
            Self::Avx512 => pulp::x86::V4::is_available(),
            Self::Avx512Bf16 => {
                Self::Avx512.is_available()
                    && std::is_x86_feature_detected!("avx512bf16")
                    && std::is_x86_feature_detected!("avx512bw")
            }
        }
    }

    /// Whether this machine can run it.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn is_available(self) -> bool {
        self == Self::Portable
    }

    /// What the environment variable `INKSTONE_ISA` asks for: `None` where it is not set.
    ///
    /// # Errors
    /// A sentence if no path has that name, or this machine can't run it.
    pub fn forced() -> Result<Option<Self>, String> {
        let Some(asked) = std::env::var_os("INKSTONE_ISA").filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let available: Vec<Self> = Self::ALL.into_iter().filter(|isa| isa.is_available()).collect();
        let found = available.iter().copied().find(|isa| asked == isa.name());
        let names: Vec<&str> = available.iter().map(|isa| isa.name()).collect();
        let refused = || format!("INKSTONE_ISA={}: this machine has {}", asked.to_string_lossy(), names.join(", "));
        found.map(Some).ok_or_else(refused)
    }

    fn best() -> Self {
        Self::ALL.into_iter().rev().find(|isa| isa.is_available()).unwrap_or(Self::Portable)
    }
}

/// The path that kernels take: the best of this machine, or what `INKSTONE_ISA` names of it.
pub fn isa() -> Isa {
    static CHOSEN: OnceLock<Isa> = OnceLock::new();
    *CHOSEN.get_or_init(|| Isa::forced().ok().flatten().unwrap_or_else(Isa::best))
}

/// For the loops that are compiled through `pulp`.
#[inline]
pub(crate) fn arch() -> pulp::Arch {
    static CHOSEN: OnceLock<pulp::Arch> = OnceLock::new();
    *CHOSEN.get_or_init(choose_arch)
}

#[cfg(target_arch = "x86_64")]
fn choose_arch() -> pulp::Arch {
    let best = pulp::Arch::new();
    match isa() {
        Isa::Portable => pulp::Arch::Scalar,
        Isa::Avx2 => pulp::x86::V3::try_new().map_or(best, pulp::Arch::V3),
        Isa::Avx512 | Isa::Avx512Bf16 => best,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn choose_arch() -> pulp::Arch {
    pulp::Arch::new()
}

/// The path that kernels take, as recorded in artifacts: results may differ in the last bits between
/// two of them, never between two runs on one.
pub fn numeric_path() -> String {
    format!("{} {}", std::env::consts::ARCH, isa().name())
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

/// The rate of multiplications and additions in registers alone with all threads, in FLOP/s: the roof of
/// every product in this precision. `None` on paths whose instructions the compiler chooses.
pub fn roof(precision: Precision) -> Option<f64> {
    const ROUNDS: usize = 400_000;
    let roof = Roof::of(precision)?;
    let threads = rayon::current_num_threads();
    let seconds = fastest(5, || {
        std::hint::black_box(rayon::broadcast(|_| roof.run(ROUNDS)));
    });
    Some(threads as f64 * ROUNDS as f64 * roof.flops / seconds)
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
