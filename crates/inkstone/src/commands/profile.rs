//! `--profile FILE`: a trace of the kernels for Chrome or Perfetto, and a table of where the time went.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use inkstone_kernels::Precision;
use inkstone_kernels::isa::{self, Rates};
use inkstone_kernels::profile::{self, MOST, Span, Work};
use inkstone_recipe::fs::{write_atomic, write_atomic_with};
use inkstone_train::STEP;
use serde_json::json;

use crate::printer::Printer;

/// A recording that ends in a file, if there is one to write.
pub(crate) struct Profile {
    file: Option<PathBuf>,
}

impl Profile {
    /// Records from now on, if a file is named; it is there from now on, so that a place that can't be written to is known at once.
    pub(crate) fn start(file: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(file) = file {
            write_atomic(file, b"[]\n")?;
            profile::record();
        }
        Ok(Self { file: file.map(Path::to_owned) })
    }

    /// Writes the file and says where the time went.
    pub(crate) fn finish(self, printer: &Printer) -> anyhow::Result<()> {
        let Some(file) = self.file else { return Ok(()) };
        let spans = profile::finish();
        write_atomic_with(&file, |to| trace(&mut BufWriter::new(to), &spans))?;
        for line in table(&spans, &Roofs::measure()) {
            printer.talk(&line);
        }
        printer.talk(&format!("{}: open it in chrome://tracing or ui.perfetto.dev", file.display()));
        if spans.len() == MOST {
            printer.talk(&format!("only the first {MOST} operations are in it"));
        }
        Ok(())
    }
}

/// Spans as Chrome's trace events (the "Trace Event Format", an array of complete events); times in microseconds.
fn trace(to: &mut impl Write, spans: &[Span]) -> std::io::Result<()> {
    for (n, span) in spans.iter().enumerate() {
        let event = json!({
            "name": span.name, "ph": "X", "pid": 1, "tid": 1,
            "ts": span.start.as_secs_f64() * 1e6, "dur": span.duration.as_secs_f64() * 1e6,
            "args": { "flops": span.work.flops, "bytes": span.work.bytes },
        });
        write!(to, "{}{event}", if n == 0 { "[" } else { ",\n" })?;
    }
    writeln!(to, "{}", if spans.is_empty() { "[]" } else { "]" })?;
    to.flush()
}

/// What this machine can do at most.
struct Roofs {
    rates: Rates,
    flops: [Option<f64>; 2],
}

impl Roofs {
    fn measure() -> Self {
        Self { rates: isa::measure(), flops: [Precision::F32, Precision::Bf16].map(isa::roof) }
    }

    /// Seconds that the work takes at the roof, of arithmetic or of memory, whichever is nearer.
    fn seconds(&self, work: Work) -> f64 {
        let flops = self.flops[usize::from(work.precision == Precision::Bf16)].unwrap_or(self.rates.flops_per_second);
        (work.flops / flops).max(work.bytes / self.rates.bytes_per_second)
    }
}

/// What all calls of one kernel took together.
#[derive(Default)]
struct Row {
    calls: usize,
    seconds: f64,
    roof_seconds: f64,
    flops: f64,
    bytes: f64,
}

/// The kernels, the slowest first, and what the steps spent between them.
fn table(spans: &[Span], roofs: &Roofs) -> Vec<String> {
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    for span in measured(spans) {
        let row = rows.entry(span.name).or_default();
        row.calls += 1;
        row.seconds += span.duration.as_secs_f64();
        row.roof_seconds += roofs.seconds(span.work);
        row.flops += span.work.flops;
        row.bytes += span.work.bytes;
    }
    let steps = rows.remove(STEP).unwrap_or_default();
    let inside: f64 = rows.values().map(|row| row.seconds).sum();
    let total = if steps.calls > 0 { steps.seconds } else { inside };
    let mut rows: Vec<(&str, Row)> = rows.into_iter().collect();
    rows.sort_by(|a, b| b.1.seconds.total_cmp(&a.1.seconds));
    let mut lines = vec![format!("{:<26} {:>7} {:>10} {:>6}  rate", "where the time went", "calls", "ms", "share")];
    lines.extend(rows.iter().map(|(name, row)| line(name, row, total)));
    if steps.calls > 0 {
        let between = Row { calls: steps.calls, seconds: (total - inside).max(0.0), ..Row::default() };
        lines.push(line("between kernels", &between, total));
    }
    lines
}

/// The training steps and the kernels inside of them; all kernels where there is no step.
fn measured(spans: &[Span]) -> Vec<&Span> {
    let mut found: Vec<&Span> = Vec::new();
    let mut waiting = 0;
    for (n, span) in spans.iter().enumerate() {
        if span.name == STEP {
            found.extend(spans[waiting..=n].iter().filter(|inner| inner.start >= span.start));
            waiting = n + 1;
        }
    }
    if found.is_empty() { spans.iter().collect() } else { found }
}

fn line(name: &str, row: &Row, total: f64) -> String {
    let share = 100.0 * row.seconds / total;
    let rate = match (row.flops > 0.0, row.bytes > 0.0) {
        (true, _) => format!("{:>6.0} GFLOP/s", row.flops / row.seconds / 1e9),
        (_, true) => format!("{:>6.1} GB/s   ", row.bytes / row.seconds / 1e9),
        _ => String::new(),
    };
    let roof = if row.roof_seconds > 0.0 {
        format!(", {:>3.0} % of the roof", 100.0 * row.roof_seconds / row.seconds)
    } else {
        String::new()
    };
    format!("{name:<26} {:>7} {:>10.1} {share:>5.1}%  {rate}{roof}", row.calls, row.seconds * 1e3)
}
