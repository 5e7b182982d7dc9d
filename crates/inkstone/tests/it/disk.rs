//! A full disk: named, and after some is freed the run goes on.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Place, TINY};

/// A small disk, gone when dropped.
struct Disk(PathBuf);

impl Disk {
    /// `None` where mounting is not permitted.
    fn mount(folder: &Path) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let mut mount = Command::new("mount");
        let output = mount.args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"]).arg(folder).output().ok()?;
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
    let size = (6 << 20) - 200_000;
    std::fs::write(&ballast, vec![0; size]).unwrap();
    let err = place.fails(&["run", "tiny.toml"], &["No space left", "runs", "hint:"]);
    assert!(err.contains(".store"), "{err}");
    std::fs::remove_file(ballast).unwrap();
    place.ok(&["run", "tiny.toml"]);
}
