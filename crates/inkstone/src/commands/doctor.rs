//! `inkstone doctor`.

use std::path::Path;
use std::process::ExitCode;

use inkstone_kernels::isa;
use serde_json::{Value, json};

use crate::cli::Json;
use crate::machine;
use crate::printer::{Printer, bytes};

pub(crate) fn doctor(args: &Json, printer: &Printer) -> anyhow::Result<ExitCode> {
    let features: serde_json::Map<String, Value> =
        isa::features().into_iter().map(|(name, has)| (name.to_owned(), has.into())).collect();
    let rates = machine::measured();
    let report = json!({
        "cpu": machine::cpu_name(), "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get), "threads": rates.threads,
        "features": features, "numeric_path": isa::numeric_path(), "memory_bytes": rates.memory_bytes,
        "flops_per_second": rates.flops_per_second, "bytes_per_second": rates.bytes_per_second,
        "gpu": gpus(), "mpi": on_path("mpirun"), "missing": missing(),
    });
    if args.json {
        printer.json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    let has: Vec<&str> = isa::features().into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect();
    let lines = [
        ("processor", format!("{}, {} cores", machine::cpu_name(), report["cores"])),
        ("features", has.join(" ")),
        ("numeric path", isa::numeric_path()),
        (
            "measured",
            format!(
                "{:.0} GFLOP/s in f32, {:.1} GB/s read",
                rates.flops_per_second / 1e9,
                rates.bytes_per_second / 1e9
            ),
        ),
        ("memory", bytes(rates.memory_bytes)),
        ("GPU", gpus().map_or_else(|| "none seen".to_owned(), |names| names.join(", "))),
        ("MPI", on_path("mpirun").unwrap_or_else(|| "mpirun is not on the PATH".to_owned())),
    ];
    for (name, value) in lines {
        printer.data(&format!("{name:<14} {value}"))?;
    }
    for line in missing() {
        printer.data(&format!("{:<14} {line}", "missing"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// GPUs that the kernel's drivers show; none of them is used yet.
fn gpus() -> Option<Vec<String>> {
    let devices = ["/dev/nvidia0", "/dev/kfd", "/dev/dri/renderD128"];
    let seen: Vec<String> =
        devices.iter().filter(|path| Path::new(path).exists()).map(|path| (*path).to_owned()).collect();
    (!seen.is_empty()).then_some(seen)
}

fn on_path(program: &str) -> Option<String> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .map(|file| file.display().to_string())
}

/// What is missing, and for what.
fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if !isa::features().iter().any(|&(name, has)| has && matches!(name, "avx2" | "neon")) {
        missing.push("AVX2 or NEON: matrix products run on the portable path, several times slower".to_owned());
    }
    if machine::memory_bytes().is_some_and(|bytes| bytes < 4 << 30) {
        missing.push(
            "memory: the quickstart needs up to 2 GB; larger recipes need more (`inkstone plan` says how much)"
                .to_owned(),
        );
    }
    missing.push("GPU support: this program computes on the CPU".to_owned());
    missing.push("MPI support: this program runs on one machine".to_owned());
    missing
}
