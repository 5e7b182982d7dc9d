//! `inkstone bench`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use inkstone_kernels::{LinearShape, Precision, isa, linear, linear_grad_input, linear_grad_weight};
use inkstone_recipe::{Progress as _, peak_bytes};
use inkstone_train::bench::{Measured, Workload, bench as train_bench};
use inkstone_train::peft::PeftTable;
use serde_json::{Value, json};

use super::bench_model::{self, What};
use super::profile::Profile;
use crate::cli::{Bench, BenchCommand, BenchKernels, BenchTrain};
use crate::hint::hinted;
use crate::machine;
use crate::printer::{Printer, bytes, thousands};

pub(crate) fn bench(args: &Bench, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    match &args.what {
        BenchCommand::Train(args) => train(args, printer),
        BenchCommand::Recurrent(args) => super::bench_recurrent::bench_recurrent(args, printer),
        BenchCommand::Serve(args) => super::bench_serve::bench_serve(args, printer),
        BenchCommand::Kernels(args) => kernels(args, printer),
        BenchCommand::Decode(args) => bench_model::bench(What::Decode, args, runs, printer),
        BenchCommand::Prefill(args) => bench_model::bench(What::Prefill, args, runs, printer),
    }
}

/// Untimed steps.
const WARMUP: usize = 2;

fn train(args: &BenchTrain, printer: &Printer) -> anyhow::Result<ExitCode> {
    let precision = if args.precision == "bf16" { Precision::Bf16 } else { Precision::F32 };
    let workload = Workload {
        model: model(args),
        precision,
        peft: args
            .lora
            .map(|rank| PeftTable::lora(rank, &args.targets))
            .transpose()
            .map_err(|message| hinted(message, "give --lora 8"))?,
        preferences: args.dpo,
        batch: args.batch,
        context: args.context,
        warmup: WARMUP,
        steps: args.steps.max(1),
    };
    let profile = Profile::start(args.profile.as_deref())?;
    let task = printer.task("steps", Some((WARMUP + workload.steps) as u64), "steps");
    let measured = train_bench(&workload, |step| task.set(step as u64 + 1))?;
    drop(task);
    profile.finish(printer)?;
    let report = report(args, &measured, precision);
    if args.json {
        printer.json(&report)?;
    } else {
        show(args, &report, printer)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn report(args: &BenchTrain, measured: &Measured, precision: Precision) -> Value {
    let mut sorted = measured.seconds.clone();
    sorted.sort_by(f64::total_cmp);
    let (median, best) = (sorted[sorted.len() / 2], sorted[0]);
    let tokens = (args.batch * args.context) as f64;
    let roof = isa::roof(precision);
    json!({
        "tokens_per_second": tokens / median, "tokens_per_second_best": tokens / best, "seconds": median,
        "peak_bytes": peak_bytes(), "parameters": measured.parameters, "trainable_parameters": measured.trainable, "precision": args.precision,
        "numeric_path": isa::numeric_path(), "threads": rayon::current_num_threads(), "cpu": machine::cpu_name(),
        "flops_per_second": measured.flops / median, "roof_share": roof.map(|roof| measured.flops / median / roof),
        "loss_first": measured.losses.first(), "loss_last": measured.losses.last(),
        "batch": args.batch, "context": args.context, "steps": sorted.len(),
    })
}

fn show(args: &BenchTrain, report: &Value, printer: &Printer) -> std::io::Result<()> {
    let number = |key: &str| report[key].as_f64().unwrap_or(f64::NAN);
    printer.data(&format!(
        "{:.0} tokens/s (best {:.0}), {:.3} s a step",
        number("tokens_per_second"),
        number("tokens_per_second_best"),
        number("seconds")
    ))?;
    printer.data(&format!(
        "{:.1} GFLOP/s, {:.0} % of the roof in {}",
        number("flops_per_second") / 1e9,
        100.0 * number("roof_share"),
        args.precision
    ))?;
    printer.data(&format!(
        "{:.1} M parameters, peak memory {}",
        number("parameters") / 1e6,
        bytes(report["peak_bytes"].as_u64().unwrap_or(0))
    ))?;
    if args.lora.is_some() {
        printer.data(&format!(
            "{} parameters are trained",
            thousands(report["trainable_parameters"].as_u64().unwrap_or(0))
        ))?;
    }
    printer.data(&format!("loss {:.3} → {:.3} on the one batch", number("loss_first"), number("loss_last")))
}

fn model(args: &BenchTrain) -> Value {
    if args.architecture == "gpt2" {
        return json!({
            "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": args.vocab_size,
            "n_positions": args.context, "n_embd": args.hidden_size, "n_layer": args.layers, "n_head": args.heads,
            "n_inner": args.intermediate_size,
        });
    }
    let intermediate = args.intermediate_size.unwrap_or((args.hidden_size * 8 / 3).next_multiple_of(32));
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "vocab_size": args.vocab_size, "hidden_size": args.hidden_size, "intermediate_size": intermediate,
        "num_hidden_layers": args.layers, "num_attention_heads": args.heads, "num_key_value_heads": args.heads,
        "max_position_embeddings": args.context, "rms_norm_eps": 1e-5, "tie_word_embeddings": false,
    })
}

/// Inputs and outputs of the products that are measured: those of a model of width 512.
const SHAPES: [(usize, usize); 4] = [(512, 512), (512, 1376), (1376, 512), (512, 8192)];

fn kernels(args: &BenchKernels, printer: &Printer) -> anyhow::Result<ExitCode> {
    let mut rows = Vec::new();
    let task = printer.task("products", Some(2 * SHAPES.len() as u64), "shapes");
    for precision in [Precision::F32, Precision::Bf16] {
        for (inputs, outputs) in SHAPES {
            let roof = isa::roof(precision);
            rows.extend(products(LinearShape { rows: args.rows, inputs, outputs }, precision, roof));
            task.set(rows.len() as u64 / 3);
        }
    }
    drop(task);
    if args.json {
        let report = json!({ "products": rows, "numeric_path": isa::numeric_path(), "threads": rayon::current_num_threads(), "cpu": machine::cpu_name() });
        printer.json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    printer.data(&format!("{}, {} threads", isa::numeric_path(), rayon::current_num_threads()))?;
    for row in &rows {
        let share = row["roof_share"]
            .as_f64()
            .map_or_else(String::new, |share| format!("{:>5.0} % of the roof", share * 100.0));
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let rate = row["flops_per_second"].as_f64().unwrap_or(f64::NAN) / 1e9;
        printer.data(&format!(
            "{:<5} {:<20} {:<16} {rate:>8.1} GFLOP/s {share}",
            text("precision"),
            text("shape"),
            text("layout")
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn products(shape: LinearShape, precision: Precision, roof: Option<f64>) -> Vec<Value> {
    let LinearShape { rows, inputs, outputs } = shape;
    let numbers = |n: usize| (0..n).map(|i| (i % 251) as f32 / 251.0 - 0.5).collect::<Vec<f32>>();
    let (mut x, mut w, mut y) = (numbers(rows * inputs), numbers(outputs * inputs), numbers(rows * outputs));
    let layouts = [
        ("forward", fastest(|| linear(&mut y, &x, &w, shape, precision))),
        ("input gradient", fastest(|| linear_grad_input(&mut x, &y, &w, shape, precision))),
        ("weight gradient", fastest(|| linear_grad_weight(&mut w, &y, &x, shape, precision))),
    ];
    let flops = 2.0 * (rows * inputs * outputs) as f64;
    let row = |(layout, seconds): (&str, f64)| {
        json!({
            "shape": format!("{rows} x {inputs} -> {outputs}"), "layout": layout, "precision": format!("{precision:?}").to_lowercase(),
            "seconds": seconds, "flops_per_second": flops / seconds, "roof_share": roof.map(|roof| flops / seconds / roof),
        })
    };
    layouts.map(row).to_vec()
}

/// The shortest time of `run` over about a third of a second.
fn fastest(mut run: impl FnMut()) -> f64 {
    let (begin, mut best) = (Instant::now(), f64::INFINITY);
    while begin.elapsed().as_millis() < 300 {
        let started = Instant::now();
        run();
        best = best.min(started.elapsed().as_secs_f64());
    }
    best
}
