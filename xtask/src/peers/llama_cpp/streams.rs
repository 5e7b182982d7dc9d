//! Many answers at a time from both servers.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::super::measure::median;
use super::{THREADS, Trial, json_of};
use crate::served::{KEY, Served};

/// Answers at a time.
pub(super) const STREAMS: &str = "16";
/// Their prompts and lengths.
const ANSWERS: [&str; 4] = ["--words", "32", "--max-tokens", "48"];
/// How long a server may take to load.
const PATIENCE: Duration = Duration::from_mins(1);

impl Trial<'_> {
    /// Whether all tokens together come twice as fast, and the first ones no later.
    pub(super) fn streams(&self, path: &Path) -> Result<bool> {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..self.arguments.turns.max(1) {
            let server = LlamaServer::start(self, path)?;
            theirs.push(self.ask(&server.address, "any", &ANSWERS)?);
            drop(server);
            let server = Served::start(&self.ours, path, &self.scratch, &["--parallel", STREAMS])?;
            ours.push(self.ask(&server.address, "model", &ANSWERS)?);
        }
        let figure = |runs: &[Value], key: &str| median(runs.iter().filter_map(|run| run[key].as_f64()));
        let (a, b) = (figure(&ours, "tokens_per_second"), figure(&theirs, "tokens_per_second"));
        let (c, d) = (figure(&ours, "first_token_seconds_p95"), figure(&theirs, "first_token_seconds_p95"));
        println!("{STREAMS} streams: ours {a:.1} tokens/s, llama-server {b:.1}: {:.2} times (wanted: 2)", a / b);
        println!("first token (p95): ours {c:.2} s, llama-server {d:.2} s");
        Ok(a >= 2.0 * b && c <= d)
    }

    /// What our client reports of a server.
    pub(super) fn ask(&self, address: &str, model: &str, arguments: &[&str]) -> Result<Value> {
        let mut bench = Command::new(&self.ours.0);
        bench.args(["--no-progress", "bench", "serve", "--json", "--url", address, "--model", model, "--api-key", KEY]);
        json_of(bench.args(["--streams", STREAMS, "--requests", STREAMS]).args(arguments))
    }
}

/// A running llama-server; it ends when this is dropped.
struct LlamaServer {
    child: Child,
    address: String,
}

impl LlamaServer {
    fn start(trial: &Trial<'_>, path: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
        let mut command = trial.theirs.program("llama-server");
        command.arg("-m").arg(path).args(["-t", THREADS, "-np", STREAMS, "-c", "8192", "--port", &port]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server =
            Self { child: child.context("starting llama-server")?, address: format!("http://127.0.0.1:{port}") };
        let begin = Instant::now();
        while !server.is_ready() {
            if begin.elapsed() > PATIENCE {
                bail!("llama-server does not get ready");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(server)
    }

    fn is_ready(&self) -> bool {
        let health =
            Command::new("curl").args(["-sf", "-o", "/dev/null"]).arg(format!("{}/health", self.address)).status();
        health.is_ok_and(|status| status.success())
    }
}

impl Drop for LlamaServer {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
