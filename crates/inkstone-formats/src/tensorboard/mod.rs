//! TensorBoard event files with scalars.
//!
//! A file is a sequence of records (TFRecord): `u64` length, masked CRC-32C of the length, the bytes, masked CRC-32C of the
//! bytes, all little-endian. The bytes of a record are one protobuf message
//! `Event { 1: wall_time f64, 2: step i64, 3: file_version string, 5: Summary { 1: Value { 1: tag string, 2: simple_value f32 } } }`,
//! written by hand here. The first event of a file carries `brain.Event:2` and nothing else.
//!
//! Source: `tensorflow/core/lib/io/record_writer.h`, `tensorflow/core/util/event.proto`.

mod proto;
mod record;

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::FormatError;

const FILE_VERSION: &str = "brain.Event:2";

/// One record of an event file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Event {
    /// Seconds since 1970.
    pub wall_time: f64,
    /// Training step.
    pub step: i64,
    /// `brain.Event:2` in the first event, else nothing.
    pub file_version: Option<String>,
    /// Tags and values; summaries of other kinds (pictures, histograms) are left out when reading.
    pub scalars: Vec<(String, f32)>,
}

/// What can be read of an event file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventLog {
    /// The events up to the first damage, in the order of the file.
    pub events: Vec<Event>,
    /// Where each of them ends, in bytes from the start.
    pub ends: Vec<u64>,
    /// What is wrong after them, if anything is: usually a record that a kill cut off.
    pub damage: Option<String>,
}

/// Reads the events of `path`. A record that is cut off or fails its checksum ends the reading without being an error.
pub fn read_events(path: &Path) -> Result<EventLog, FormatError> {
    let file = File::open(path).map_err(FormatError::io(path, "open"))?;
    let size = file.metadata().map_err(FormatError::io(path, "stat"))?.len();
    let mut reader = BufReader::new(file);
    let (mut log, mut at) = (EventLog::default(), 0_u64);
    loop {
        let event = match record::read(&mut reader, size - at.min(size)) {
            Ok(None) => return Ok(log),
            Ok(Some(bytes)) => {
                at += record::FRAME + bytes.len() as u64;
                proto::decode(&bytes)
            }
            Err(damage) => Err(damage),
        };
        match event {
            Ok(event) => {
                log.events.push(event);
                log.ends.push(at);
            }
            Err(damage) => {
                log.damage = Some(damage);
                return Ok(log);
            }
        }
    }
}

/// The varying parts of an event file's name, `events.out.tfevents.<seconds>.<host>.<process>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFileName {
    /// Seconds since 1970.
    pub seconds: u64,
    /// Name of the machine.
    pub host: String,
    /// Process id.
    pub process: u32,
}

impl EventFileName {
    /// A name for a file that this process begins now.
    pub fn now() -> Self {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self { seconds, host: host.trim().to_owned(), process: std::process::id() }
    }

    fn file_name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let host: String = self.host.chars().take(64).map(plain).collect();
        let host = if host.is_empty() { "localhost" } else { &host };
        format!("events.out.tfevents.{:010}.{host}.{}", self.seconds, self.process)
    }
}

/// Appends events to one file. What was not [flushed](Self::flush) is written when the writer is dropped.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventWriter {
    /// Begins a new file in `folder`, named after time, machine and process. See [`create_named`](Self::create_named).
    pub fn create(folder: &Path) -> Result<Self, FormatError> {
        Self::create_named(folder, &EventFileName::now())
    }

    /// Begins a new file in `folder`, which is made if need be. A file of that name that is there already is an error.
    pub fn create_named(folder: &Path, name: &EventFileName) -> Result<Self, FormatError> {
        std::fs::create_dir_all(folder).map_err(FormatError::io(folder, "create"))?;
        let path = folder.join(name.file_name());
        let file = File::create_new(&path).map_err(FormatError::io(&path, "create"))?;
        let mut writer = Self { path, file: BufWriter::new(file) };
        let first =
            Event { wall_time: name.seconds as f64, file_version: Some(FILE_VERSION.to_owned()), ..Event::default() };
        writer.write(&first)?;
        writer.flush()?;
        Ok(writer)
    }

    /// Goes on with the file `path` of a run that is resumed at `last_step`: events of later steps and a record that was cut
    /// off are removed, so that no step is in the file twice.
    pub fn resume(path: &Path, last_step: i64) -> Result<Self, FormatError> {
        let log = read_events(path)?;
        if log.events.first().and_then(|event| event.file_version.as_deref()) != Some(FILE_VERSION) {
            let detail = format!("expected the first event to say `{FILE_VERSION}`");
            return Err(FormatError::Events { path: path.to_owned(), offset: 0, detail });
        }
        let kept = log.events.iter().skip(1).take_while(|event| event.step <= last_step).count();
        let end = log.ends[kept];
        let mut file = OpenOptions::new().write(true).open(path).map_err(FormatError::io(path, "open"))?;
        file.set_len(end).map_err(FormatError::io(path, "truncate"))?;
        file.seek(SeekFrom::End(0)).map_err(FormatError::io(path, "seek"))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// The last event file (by name) in `folder`, for [`resume`](Self::resume).
    pub fn latest(folder: &Path) -> Result<Option<PathBuf>, FormatError> {
        let mut newest = None;
        for entry in std::fs::read_dir(folder).map_err(FormatError::io(folder, "list"))? {
            let entry = entry.map_err(FormatError::io(folder, "list"))?;
            if entry.file_name().to_string_lossy().starts_with("events.out.tfevents.") {
                newest = newest.max(Some(entry.path()));
            }
        }
        Ok(newest)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes one event with several scalars of a step, e.g. `train/loss`, as of now.
    pub fn scalars(&mut self, step: i64, scalars: &[(&str, f32)]) -> Result<(), FormatError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64());
        self.scalars_at(step, now, scalars)
    }

    /// [`scalars`](Self::scalars) as of `wall_time`, in seconds since 1970.
    pub fn scalars_at(&mut self, step: i64, wall_time: f64, scalars: &[(&str, f32)]) -> Result<(), FormatError> {
        let scalars = scalars.iter().map(|&(tag, value)| (tag.to_owned(), value)).collect();
        self.write(&Event { wall_time, step, file_version: None, scalars })
    }

    /// Writes any event.
    pub fn write(&mut self, event: &Event) -> Result<(), FormatError> {
        let written = record::write(&mut self.file, &proto::encode(event));
        written.map_err(FormatError::io(&self.path, "write"))
    }

    /// Hands everything to the system, so that a viewer sees it.
    pub fn flush(&mut self) -> Result<(), FormatError> {
        self.file.flush().map_err(FormatError::io(&self.path, "write"))
    }
}
