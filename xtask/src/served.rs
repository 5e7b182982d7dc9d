//! A server of the program under test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};

use crate::program::{Program, run_to_end};
use crate::repo;

/// The model that is served.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ModelArguments {
    /// A model folder; the quickstart is run (four minutes) if left out
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
}

impl ModelArguments {
    /// The folder, made where it has to be.
    pub(crate) fn folder(&self, program: &Program, scratch: &Path) -> Result<PathBuf> {
        if let Some(folder) = &self.model {
            return folder.canonicalize().with_context(|| format!("looking for {}", folder.display()));
        }
        repo::section("running the quickstart for a model", || {
            run_to_end(&mut program.command(scratch, &["run"])?, scratch)
        })?;
        Ok(scratch.join("runs/quickstart/model"))
    }
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    child: Child,
    panicked: Arc<AtomicBool>,
    /// `http://127.0.0.1:PORT`.
    pub(crate) address: String,
}

/// The key that clients of the server need.
pub(crate) const KEY: &str = "a-key-for-checks-alone";

impl Served {
    /// Serves `model` as `model`, at any free port, with [`KEY`] as its key; waits until it is ready.
    pub(crate) fn start(program: &Program, model: &Path, scratch: &Path, arguments: &[&str]) -> Result<Self> {
        let keys = scratch.join("keys.txt");
        std::fs::write(&keys, KEY).context("writing the key")?;
        let mut command = Command::new(&program.0);
        command.args(["serve", "--port", "0", "-m"]).arg(format!("model={}", model.display()));
        command.arg("--api-key").arg(&keys).args(arguments).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting the server")?;
        let mut lines = BufReader::new(child.stderr.take().context("the server's stderr")?).lines();
        let mut address = None;
        for line in &mut lines {
            let line = line?;
            if let Some(at) = line.strip_prefix("listening on ") {
                address = Some(at.to_owned());
            }
            if line.contains("ready") {
                break;
            }
        }
        let Some(address) = address else { bail!("the server did not start") };
        // Nobody reads its log from here on but for panics, and it must not stand still for that.
        let panicked = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&panicked);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok).filter(|line| line.contains("panicked at")) {
                println!("{line}");
                seen.store(true, Ordering::Relaxed);
            }
        });
        Ok(Self { child, panicked, address })
    }

    /// Whether its log told of a panic.
    pub(crate) fn panicked(&self) -> bool {
        self.panicked.load(Ordering::Relaxed)
    }

    /// Memory of the server's process, in bytes (Linux).
    pub(crate) fn bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/statm", self.child.id());
        let pages = std::fs::read_to_string(path).context("reading the server's memory")?;
        let resident: u64 = pages.split(' ').nth(1).context("resident pages")?.parse()?;
        Ok(resident * 4096)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
