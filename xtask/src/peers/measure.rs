//! Time and memory of another process.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::repo;

/// What a command took.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// From its start to its end.
    pub(crate) seconds: f64,
    /// The most resident memory that was seen, in bytes.
    pub(crate) peak_bytes: u64,
    /// What it wrote to stdout.
    pub(crate) stdout: String,
}

/// Runs a command to its end and looks at its memory every few milliseconds.
pub(crate) fn measure(command: &mut Command) -> Result<Measured> {
    let shown = repo::shown(command);
    let folder = repo::target().join("xtask");
    std::fs::create_dir_all(&folder)?;
    let (out, log) = (folder.join("measured.out"), folder.join("measured.log"));
    command.stdout(std::fs::File::create(&out)?).stderr(std::fs::File::create(&log)?);
    if std::fs::metadata("/dev/null").is_ok() && !repo::shown(command).contains('<') {
        command.stdin(Stdio::null());
    }
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("starting `{shown}`"))?;
    let mut peak_bytes = 0;
    let status = loop {
        peak_bytes = peak_bytes.max(high_water(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(3));
    };
    let seconds = start.elapsed().as_secs_f64();
    if !status.success() {
        bail!("`{shown}` failed: {}", std::fs::read_to_string(&log).unwrap_or_default());
    }
    Ok(Measured { seconds, peak_bytes, stdout: std::fs::read_to_string(&out)? })
}

/// The most resident memory of a process so far, in bytes.
fn high_water(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// The middle one.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
