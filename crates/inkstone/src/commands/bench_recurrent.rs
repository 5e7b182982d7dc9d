//! `inkstone bench recurrent`.

use std::process::ExitCode;
use std::time::Instant;

use inkstone_classic::neural::{Epoch, LanguageModel, Lesson, Optimizer, Training, Watch, train};
use inkstone_classic::recurrent::{Kind, Network, Shape};
use inkstone_kernels::{Precision, isa};
use inkstone_recipe::{Progress as _, Task, peak_bytes};
use serde_json::json;

use crate::cli::BenchRecurrent;
use crate::machine;
use crate::printer::{Printer, bytes};

/// Untimed steps.
const WARMUP: usize = 2;

/// When each step was over.
struct Clock {
    bar: Box<dyn Task>,
    last: Instant,
    seconds: Vec<f64>,
    losses: Vec<f64>,
}

impl Watch for Clock {
    fn tokens(&mut self, _done: u64, loss: f64) -> bool {
        self.seconds.push(self.last.elapsed().as_secs_f64());
        self.losses.push(loss);
        self.bar.set(self.seconds.len() as u64);
        self.last = Instant::now();
        true
    }

    fn epoch(&mut self, _epoch: &Epoch) {}

    fn warn(&mut self, _line: &str) {}
}

pub(crate) fn bench_recurrent(args: &BenchRecurrent, printer: &Printer) -> anyhow::Result<ExitCode> {
    let cell = match args.cell.as_str() {
        "gru" => Kind::Gru,
        "elman" => Kind::Elman,
        _ => Kind::Lstm,
    };
    let precision = if args.precision == "bf16" { Precision::Bf16 } else { Precision::F32 };
    let (vocab_size, hidden) = (args.vocab_size, args.hidden_size);
    let shape = Shape { cell, vocab_size, embedding: hidden, hidden, layers: args.layers, tied: false };
    let mut network = Network::drawn(shape, 1)?;
    let parameters = network.weights.len();
    let steps = WARMUP + args.steps.max(1);
    let text = text(vocab_size, args.batch * (steps * args.context + 1));
    let training = Training {
        batch: args.batch,
        steps: args.context,
        epochs: 1,
        optimizer: Optimizer::Sgd,
        learning_rate: 1.0,
        clip: 5.0,
        dropout: 0.5,
        precision,
        frozen_vectors: false,
        checkpoint_every: 0,
    };
    let bar = printer.task("steps", Some(steps as u64), "steps");
    let mut clock = Clock { bar, last: Instant::now(), seconds: Vec::new(), losses: Vec::new() };
    let lesson = Lesson { text: &text, validation: &[], training: &training, seed: 1, state: None };
    train(&mut network, &lesson, &mut clock)?;
    let Clock { mut seconds, losses, bar, .. } = clock;
    drop(bar);
    seconds.drain(..WARMUP);
    seconds.sort_by(f64::total_cmp);
    let (median, tokens) = (seconds[seconds.len() / 2], (args.batch * args.context) as f64);
    if args.json {
        printer.json(&json!({
            "tokens_per_second": tokens / median, "tokens_per_second_best": tokens / seconds[0], "seconds": median,
            "peak_bytes": peak_bytes(), "parameters": parameters, "precision": args.precision, "numeric_path": isa::numeric_path(),
            "threads": rayon::current_num_threads(), "cpu": machine::cpu_name(),
            "loss_first": losses.first(), "loss_last": losses.last(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    printer.data(&format!(
        "{:.0} tokens/s (best {:.0}), {median:.3} s a step",
        tokens / median,
        tokens / seconds[0]
    ))?;
    let peak = bytes(peak_bytes().unwrap_or(0));
    printer.data(&format!("{:.1} M parameters, peak memory {peak}", parameters as f64 / 1e6))?;
    Ok(ExitCode::SUCCESS)
}

/// A text in which every other token follows from the one before it, so that there is something to learn.
fn text(vocab_size: usize, length: usize) -> Vec<u32> {
    let mut x = 1_u64;
    let mut draw = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (x >> 33) % vocab_size as u64
    };
    let mut last = 0;
    let mut token = |n: usize| {
        last = if n.is_multiple_of(2) { draw() } else { (last * 7 + 1) % vocab_size as u64 };
        last as u32
    };
    (0..length).map(&mut token).collect()
}
