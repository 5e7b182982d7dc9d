//! A full disk: named, and after some is freed the run goes on.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::kill::checkpoints;
use crate::support::{Place, TINY};

/// A small disk, gone when dropped.
struct Disk(PathBuf);

impl Disk {
    /// `None` where mounting is not permitted.
    fn mount(folder: &Path) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let mut mount = Command::new("mount");
        let output = mount.args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"]).arg(folder).output().ok()?;
        output.status.success().then(|| Self(folder.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "says that it tests nothing")]
fn a_full_disk_is_named_and_the_run_goes_on_after_it() {
    let place = Place::with(TINY);
    let Some(_disk) = Disk::mount(&place.path("runs")) else {
        eprintln!("skipped: mounting a tmpfs is not permitted");
        return;
    };
    let ballast = place.path("runs/ballast");
    let size = (12 << 20) - 200_000;
    std::fs::write(&ballast, vec![0; size]).unwrap();
    let err = place.fails(&["run", "tiny.toml"], &["No space left", "runs", "hint:"]);
    assert!(err.contains(".store"), "{err}");
    std::fs::remove_file(ballast).unwrap();
    place.ok(&["run", "tiny.toml"]);
}

/// Writes to `path` until there is no room left.
fn fill(path: &Path) {
    let mut ballast = std::fs::File::create(path).unwrap();
    for size in [1 << 16, 1 << 12] {
        while ballast.write_all(&vec![0; size]).is_ok() {}
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "says that it tests nothing")]
fn a_disk_that_fills_up_during_training_spares_the_checkpoints_before() {
    let recipe = TINY.replace("steps = 12", "steps = 400");
    let place = Place::with(&recipe);
    let Some(_disk) = Disk::mount(&place.path("runs")) else {
        eprintln!("skipped: mounting a tmpfs is not permitted");
        return;
    };
    let child = place.command(&["run", "tiny.toml"]).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while checkpoints(&place).len() < 2 {
        assert!(begun.elapsed() < Duration::from_mins(1), "no checkpoints");
        std::thread::sleep(Duration::from_millis(2));
    }
    let ballast = place.path("runs/ballast");
    fill(&ballast);
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("No space left") && err.contains("hint:"), "{err}");
    assert!(!checkpoints(&place).is_empty());
    std::fs::remove_file(ballast).unwrap();
    let err = place.ok(&["run", "tiny.toml"]).1;
    assert!(!err.contains("using the one before it"), "{err}");
    let whole = Place::with(&recipe);
    whole.ok(&["run", "tiny.toml"]);
    assert_eq!(place.id("model"), whole.id("model"));
}
