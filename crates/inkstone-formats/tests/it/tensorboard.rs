//! Event files.

use std::fs;
use std::path::PathBuf;

use inkstone_formats::FormatError;
use inkstone_formats::tensorboard::{Event, EventFileName, EventWriter, read_events};
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

fn name() -> EventFileName {
    EventFileName { seconds: 1_700_000_000, host: "a/b.c".into(), process: 42 }
}

fn written(steps: i64) -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let mut writer = EventWriter::create_named(folder.path(), &name()).unwrap();
    for step in 0..steps {
        writer.scalars_at(step, 1.5, &[("train/loss", step as f32), ("学习率", 0.25)]).unwrap();
    }
    writer.flush().unwrap();
    let path = writer.path().to_owned();
    (folder, path)
}

/// The first record of a file written by TensorFlow at 1.7e9 s: length 24, checksum, time, version, checksum.
#[test]
fn bytes_are_those_of_the_format() {
    let (_folder, path) = written(0);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 40);
    assert_eq!(bytes[..12], [24, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22]);
    assert_eq!(bytes[12], 0x09);
    assert_eq!(bytes[13..21], 1.7e9_f64.to_le_bytes());
    assert_eq!(&bytes[21..36], b"\x1a\x0dbrain.Event:2");
}

#[test]
fn the_name_is_the_one_that_viewers_look_for() {
    let (_folder, path) = written(0);
    assert_eq!(path.file_name().unwrap(), "events.out.tfevents.1700000000.a_b_c.42");
    assert_eq!(EventWriter::latest(path.parent().unwrap()).unwrap(), Some(path));
}

#[test]
fn an_existing_file_is_not_written_over() {
    let (folder, _path) = written(1);
    assert!(matches!(EventWriter::create_named(folder.path(), &name()), Err(FormatError::Io { .. })));
}

#[test]
fn resuming_removes_later_steps_and_the_record_that_was_cut_off() {
    let (_folder, path) = written(5);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    let log = read_events(&path).unwrap();
    assert_eq!((log.events.len(), log.damage.is_some()), (5, true));

    let mut writer = EventWriter::resume(&path, 2).unwrap();
    writer.scalars_at(3, 2.0, &[("train/loss", 9.0)]).unwrap();
    drop(writer);
    let log = read_events(&path).unwrap();
    assert_eq!(log.damage, None);
    let steps: Vec<i64> = log.events[1..].iter().map(|event| event.step).collect();
    assert_eq!(steps, [0, 1, 2, 3]);
    assert_eq!(log.events[4].scalars, [("train/loss".to_owned(), 9.0)]);
}

#[test]
fn only_an_event_file_is_resumed() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    fs::write(&path, "not an event file, but one that must not be truncated").unwrap();
    assert!(matches!(EventWriter::resume(&path, 0), Err(FormatError::Events { .. })));
    assert_eq!(fs::read(&path).unwrap().len(), 53);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_event_survives(
        wall_time in -1e10..1e10_f64,
        step in any::<i64>(),
        scalars in prop::collection::vec((".{0,200}", -1e9..1e9_f32), 0..5),
        version in prop::option::of("[a-z:0-9]{0,20}"),
    ) {
        let (_folder, path) = written(1);
        let event = Event { wall_time, step, file_version: version, scalars };
        let mut writer = EventWriter::resume(&path, 0).unwrap();
        writer.write(&event).unwrap();
        writer.flush().unwrap();
        let log = read_events(&path).unwrap();
        prop_assert_eq!(log.damage, None);
        prop_assert_eq!(log.events.last(), Some(&event));
    }
}
