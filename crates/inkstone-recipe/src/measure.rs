//! What a stage costs: wall time, peak memory, energy.

use std::path::PathBuf;
use std::time::Instant;

use crate::manifest::Cost;

/// A measurement under way.
pub(crate) struct Meter {
    started: Instant,
    /// Whether the peak could be set back to the present, so that it is this stage's own.
    own_peak: bool,
    energy: Vec<Counter>,
}

/// One energy counter of the processor, with its reading at the start.
struct Counter {
    folder: PathBuf,
    microjoules: u64,
}

impl Meter {
    pub(crate) fn start() -> Self {
        // Linux: "5" sets the peak of the resident memory back (proc_pid_clear_refs(5)).
        let own_peak = std::fs::write("/proc/self/clear_refs", "5").is_ok();
        Self { started: Instant::now(), own_peak, energy: counters() }
    }

    pub(crate) fn stop(self) -> Cost {
        let peak_bytes = if self.own_peak { peak_bytes() } else { None };
        let joules: Option<f64> = self.energy.iter().map(Counter::joules).sum();
        let joules = joules.filter(|_| !self.energy.is_empty());
        Cost { seconds: self.started.elapsed().as_secs_f64(), peak_bytes, joules }
    }
}

/// The peak resident memory of this process in bytes, since its start or since it was last set back.
pub fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The packages below `/sys/class/powercap` (RAPL) that may be read.
fn counters() -> Vec<Counter> {
    let Ok(entries) = std::fs::read_dir("/sys/class/powercap") else {
        return Vec::new();
    };
    let packages = entries.flatten().filter(|e| {
        let name = e.file_name().to_string_lossy().into_owned();
        name.strip_prefix("intel-rapl:").is_some_and(|rest| !rest.contains(':'))
    });
    let counter = |folder: PathBuf| Some(Counter { microjoules: read(&folder, "energy_uj")?, folder });
    packages.filter_map(|e| counter(e.path())).collect()
}

impl Counter {
    fn joules(&self) -> Option<f64> {
        let now = read(&self.folder, "energy_uj")?;
        let range = if now < self.microjoules { read(&self.folder, "max_energy_range_uj")? } else { 0 };
        Some((now + range).saturating_sub(self.microjoules) as f64 / 1e6)
    }
}

fn read(folder: &std::path::Path, name: &str) -> Option<u64> {
    std::fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok()
}
