//! stdout is data, stderr is talk.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use inkstone_recipe::{Progress, Task};

use crate::hint::hint_of;

/// Where the program writes.
pub(crate) struct Printer {
    bars: Option<MultiProgress>,
    quiet: bool,
    colour: bool,
}

impl Printer {
    pub(crate) fn new(no_progress: bool, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bars = (terminal && !no_progress && !quiet)
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8)));
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { bars, quiet, colour }
    }

    /// A line of data.
    #[expect(clippy::unused_self, reason = "one way to write, for data and talk alike")]
    pub(crate) fn data(&self, line: &str) -> std::io::Result<()> {
        writeln!(std::io::stdout().lock(), "{line}")
    }

    /// A JSON document, as data.
    pub(crate) fn json(&self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        Ok(self.data(&serde_json::to_string_pretty(value)?)?)
    }

    /// A line of talk.
    pub(crate) fn talk(&self, line: &str) {
        if !self.quiet {
            self.line(line);
        }
    }

    /// What went wrong, what caused it, and the way out.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        self.line(&format!("{}: {error}", self.paint("31;1", "error")));
        let mut said = error.to_string();
        for cause in error.chain().skip(1) {
            let text = cause.to_string();
            // Errors that quote their source would say everything twice.
            if !said.contains(&text) {
                self.line(&format!("  because {text}"));
                said = text;
            }
        }
        if let Some(hint) = hint_of(error) {
            self.line(&format!("\n{}: {hint}", self.paint("36;1", "hint")));
        }
    }

    /// Text in a colour, where colours are wanted.
    pub(crate) fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn line(&self, line: &str) {
        let write = || {
            // A closed stderr is no reason to lose work.
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        };
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }
}

impl Progress for Printer {
    fn task(&self, name: &str, total: Option<u64>, unit: &str) -> Box<dyn Task> {
        match &self.bars {
            Some(bars) => Box::new(Bar(bars.add(bar(name, total, unit)))),
            None => Box::new(Lines::new(self.quiet, name, total, unit)),
        }
    }

    fn say(&self, line: &str) {
        self.talk(line);
    }

    fn warn(&self, line: &str) {
        self.line(&format!("{}: {line}", self.paint("33;1", "warning")));
    }
}

fn bar(name: &str, total: Option<u64>, unit: &str) -> ProgressBar {
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let (counts, speed) = match unit {
        "B" => ("{bytes}/{total_bytes}".to_owned(), "{bytes_per_sec}".to_owned()),
        unit => (format!("{{human_pos}}/{{human_len}} {unit}"), format!("{{per_sec}} {unit}")),
    };
    let template = match total {
        Some(_) => format!("  {{prefix:<20}} {{bar:24}} {counts}, {speed}, {{eta}} left  {{msg}}"),
        None => format!("  {{prefix:<20}} {{spinner}} {{human_pos}} {unit}  {{msg}}"),
    };
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let style = style.with_key("per_sec", |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{}/s", thousands(state.per_sec() as u64));
    });
    bar.set_style(style.progress_chars("━╸ "));
    bar.set_prefix(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or("")).collect();
    groups.join(",")
}

struct Bar(ProgressBar);

impl Task for Bar {
    fn set(&self, done: u64) {
        self.0.set_position(done);
    }

    fn note(&self, note: &str) {
        self.0.set_message(note.to_owned());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Seconds between two lines of a task where there is no terminal to draw on.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// A task that now and then writes a line.
struct Lines {
    quiet: bool,
    name: String,
    unit: String,
    total: Option<u64>,
    started: Instant,
    state: Mutex<(Instant, String)>,
}

impl Lines {
    fn new(quiet: bool, name: &str, total: Option<u64>, unit: &str) -> Self {
        let now = Instant::now();
        Self {
            quiet,
            name: name.to_owned(),
            unit: unit.to_owned(),
            total,
            started: now,
            state: Mutex::new((now, String::new())),
        }
    }
}

impl Task for Lines {
    fn set(&self, done: u64) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.quiet || state.0.elapsed() < LINE_EVERY {
            return;
        }
        state.0 = Instant::now();
        let seconds = self.started.elapsed().as_secs_f64();
        let of = self.total.map(|total| format!(" of {}", thousands(total))).unwrap_or_default();
        let left = self
            .total
            .filter(|_| done > 0)
            .map(|total| format!(", {} left", duration(seconds * (total.saturating_sub(done)) as f64 / done as f64)));
        let line =
            format!("  {}: {}{of} {}{}  {}", self.name, thousands(done), self.unit, left.unwrap_or_default(), state.1);
        let _ = writeln!(std::io::stderr().lock(), "{}", line.trim_end());
    }

    fn note(&self, note: &str) {
        note.clone_into(&mut self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).1);
    }
}

/// `95.0` as `1 min 35 s`.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) if seconds < 10.0 => format!("{seconds:.1} s"),
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

/// `1234567` as `1.2 MB`.
pub(crate) fn bytes(n: u64) -> String {
    let mut value = n as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" { format!("{n} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// `1234567` as `1.23M`.
pub(crate) fn short(n: f64) -> String {
    let mut value = n;
    for unit in ["", "k", "M", "G", "T", "P"] {
        if value < 1000.0 {
            return if unit.is_empty() { format!("{value:.0}") } else { format!("{value:.2}{unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1}E")
}

#[cfg(test)]
mod tests {
    use super::{bytes, duration, short, thousands};

    #[test]
    fn figures_for_people() {
        assert_eq!([thousands(7), thousands(1_234_567)], ["7", "1,234,567"]);
        assert_eq!([duration(3.21), duration(95.0), duration(7300.0)], ["3.2 s", "1 min 35 s", "2 h 01 min"]);
        assert_eq!([bytes(12), bytes(1_234_567)], ["12 B", "1.2 MB"]);
        assert_eq!([short(12.0), short(3_400_000.0)], ["12", "3.40M"]);
    }
}
