//! Perplexity of a model of ours: in our program in single precision and in eight bits, and in llama.cpp.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::{THREADS, Trial, json_of};
use crate::repo;

/// Context, and by how much windows go on: every token is predicted from at least half a context, in both programs.
const CONTEXT: usize = 256;
/// What is trained where no model is named.
const STEPS: [&str; 4] = ["--set", "pretrain.steps=150", "--set", "model.steps=10"];

impl Trial<'_> {
    pub(super) fn perplexity(&self, text: &Path) -> Result<bool> {
        let folder = match &self.arguments.model {
            Some(folder) => folder.canonicalize().with_context(|| format!("looking for {}", folder.display()))?,
            None => self.trained()?,
        };
        let (exact, eight) = (self.scratch.join("f32.gguf"), self.scratch.join("q8_0.gguf"));
        for (kind, path) in [("f32", &exact), ("q8_0", &eight)] {
            let mut quantize = Command::new(&self.ours.0);
            quantize.args(["--no-progress", "quantize", "--to", kind, "-o"]).arg(path).arg(&folder);
            repo::demand(quantize.stdout(Stdio::null()))?;
        }
        let ours = self.our_perplexity(&folder, text)?;
        let ours_eight = self.our_perplexity(&eight, text)?;
        let theirs = self.their_perplexity(&exact, text)?;
        let theirs_eight = self.their_perplexity(&eight, text)?;
        println!(
            "perplexity: f32 ours {ours:.4}, llama.cpp {theirs:.4}; q8_0 ours {ours_eight:.4}, llama.cpp {theirs_eight:.4}"
        );
        let apart = |a: f64, b: f64| (a / b - 1.0).abs();
        Ok(apart(ours_eight, ours) < 1e-3 && apart(ours_eight, theirs_eight) < 3e-3)
    }

    /// A model of the quickstart's corpus and shape, trained for a moment.
    fn trained(&self) -> Result<std::path::PathBuf> {
        let mut run = self.ours.command(&self.scratch, &["run"])?;
        repo::section("training a model", || crate::program::run_to_end(run.args(STEPS), &self.scratch))?;
        Ok(self.scratch.join("runs/quickstart/model"))
    }

    fn our_perplexity(&self, model: &Path, text: &Path) -> Result<f64> {
        let mut eval = Command::new(&self.ours.0);
        eval.args(["--no-progress", "eval", "--json", "--context", &CONTEXT.to_string()]).arg(model);
        json_of(eval.arg("--text").arg(text))?["perplexity"].as_f64().context("our program names no perplexity")
    }

    fn their_perplexity(&self, model: &Path, text: &Path) -> Result<f64> {
        let mut perplexity = self.theirs.program("llama-perplexity");
        perplexity.arg("-m").arg(model).arg("-f").arg(text).args(["-t", THREADS, "-b", &CONTEXT.to_string()]);
        // It adds half a stride to the context.
        perplexity.args(["-c", &(CONTEXT - CONTEXT / 4).to_string(), "--ppl-stride", &(CONTEXT / 2).to_string()]);
        let output = perplexity.stdin(Stdio::null()).output().context("starting llama-perplexity")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let last = text.lines().rev().find_map(last_figure);
        last.context("llama-perplexity names no figure")
    }
}

/// The last figure of a line such as `[1]12.3,[2]11.9,`.
fn last_figure(line: &str) -> Option<f64> {
    line.trim().trim_end_matches(',').rsplit_once(']').filter(|(head, _)| head.starts_with('['))?.1.parse().ok()
}
