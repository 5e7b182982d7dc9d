//! What is compared with ourselves: prompts that begin alike, and tokens guessed ahead.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::streams::STREAMS;
use super::{THREADS, Trial, json_of};
use crate::served::Served;

/// Words with which all prompts begin: about 1,000 tokens of the small file's made-up vocabulary.
const SHARED_WORDS: &str = "500";
/// A text that repeats.
const REFRAIN: &str = "the town of a river and its baker, ";

impl Trial<'_> {
    /// Whether at most a fifth of the prompts' tokens is computed.
    pub(super) fn shared(&self, path: &Path) -> Result<bool> {
        let server = Served::start(&self.ours, path, &self.scratch, &["--parallel", STREAMS])?;
        let prompts = ["--shared-words", SHARED_WORDS, "--words", "4", "--max-tokens", "4"];
        let report = self.ask(&server.address, "model", &prompts)?;
        let count = |name: &str| report[name].as_f64().with_context(|| format!("our client names no {name}"));
        let (all, computed) = (count("prompt_tokens")?, count("prompt_tokens_computed")?);
        println!(
            "{STREAMS} prompts with a beginning in common: {computed} of {all} tokens computed, {:.1} times fewer (wanted: 5)",
            all / computed
        );
        Ok(all >= 5.0 * computed)
    }

    /// Whether guessing changes no token, and makes a text that repeats come one and a half times as fast.
    pub(super) fn guesses(&self, path: &Path) -> Result<bool> {
        let text = self.scratch.join("refrain.txt");
        std::fs::write(&text, REFRAIN.repeat(40)).context("writing a text")?;
        let mut bench = Command::new(&self.ours.0);
        bench.args(["--no-progress", "bench", "decode", "--json", "--threads", THREADS, "--draft", "lookup", "-m"]);
        let report = json_of(bench.arg(path).arg("--text").arg(&text).args(["--tokens", "96"]))?;
        let (speed_up, same) = (report["speed_up"].as_f64().context("no speed-up")?, report["identical"] == true);
        println!(
            "guessed ahead: {speed_up:.2} times as fast (wanted: 1.5), {} of {} guesses came true, {}",
            report["accepted"],
            report["drafted"],
            if same { "the same tokens" } else { "OTHER TOKENS" }
        );
        Ok(same && speed_up >= 1.5)
    }
}
