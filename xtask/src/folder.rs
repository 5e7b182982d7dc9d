//! `cargo xtask folder`: a large model folder is loaded in the memory of its file, and comes back with the same bytes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use inkstone_formats::hf::{ModelPlan, ModelWriter};
use inkstone_formats::safetensors::{TensorLayout, f32_bytes};
use serde_json::{Value, json};

use crate::draws::Draws;
use crate::peers::measure::{Measured, measure};
use crate::program::Program;
use crate::{Verdict, repo};

const WEIGHTS: &str = "model.safetensors";

/// How large, and what is allowed.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Blocks of the model; 22 make 1.1 B parameters
    #[arg(long, default_value_t = 22)]
    layers: usize,
    /// The longest loading from the system's cache, in seconds
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// The most memory, as a share of the file
    #[arg(long, default_value_t = 1.1)]
    memory: f64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    let program = Program::build()?;
    let folder = repo::scratch("folder")?;
    let outcome = check(&program, &folder, arguments);
    std::fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    outcome
}

fn check(program: &Program, folder: &Path, arguments: &Arguments) -> Result<Verdict> {
    let (original, again) = (folder.join("original"), folder.join("again"));
    repo::section("drawing weights", || write(&original, arguments.layers))?;
    let bytes = std::fs::metadata(original.join(WEIGHTS))?.len();
    let mut loads = Vec::new();
    let mut peak = 0;
    for _ in 0..2 {
        let Measured { peak_bytes, stdout, .. } = repo::section("loading and saving", || {
            let mut command = repo::command(&program.0, &["convert", "--json", "-o"]);
            measure(command.arg(&again).arg(&original).current_dir(folder))
        })?;
        let report: Value = serde_json::from_str(&stdout).context("reading what `inkstone convert` reports")?;
        loads.push(report["load_seconds"].as_f64().context("it tells no time")?);
        peak = peak.max(peak_bytes);
    }
    let same = repo::section("comparing", || same(&original.join(WEIGHTS), &again.join(WEIGHTS)))?;
    let (fastest, share) = (loads.iter().copied().fold(f64::INFINITY, f64::min), peak as f64 / bytes as f64);
    println!("\nfile: {} MB; loaded in {fastest:.2} s (limit {} s)", bytes / 1_000_000, arguments.seconds);
    println!("peak memory: {} MB, {share:.3} of the file (limit {})", peak / 1_000_000, arguments.memory);
    println!("saved again: {}", if same { "the same bytes" } else { "OTHER BYTES" });
    Ok((same && fastest <= arguments.seconds && share <= arguments.memory).into())
}

/// A folder of the shape of `TinyLlama` (arXiv:2401.02385, section 2.2) with weights of a uniform distribution.
fn write(folder: &Path, layers: usize) -> Result<()> {
    let (e, f, kv, v) = (2048, 5632, 256, 32_000);
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": v, "hidden_size": e, "intermediate_size": f,
        "num_hidden_layers": layers, "num_attention_heads": 32, "num_key_value_heads": 4, "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5, "rope_theta": 10_000.0, "hidden_act": "silu", "tie_word_embeddings": false,
    });
    let mut tensors = vec![("model.embed_tokens".to_owned(), vec![v, e])];
    for n in 0..layers {
        let parts = [
            ("self_attn.q_proj", vec![e, e]),
            ("self_attn.k_proj", vec![kv, e]),
            ("self_attn.v_proj", vec![kv, e]),
            ("self_attn.o_proj", vec![e, e]),
            ("mlp.gate_proj", vec![f, e]),
            ("mlp.up_proj", vec![f, e]),
            ("mlp.down_proj", vec![e, f]),
            ("input_layernorm", vec![e]),
            ("post_attention_layernorm", vec![e]),
        ];
        tensors.extend(parts.map(|(name, shape)| (format!("model.layers.{n}.{name}"), shape)));
    }
    tensors.extend([("model.norm".to_owned(), vec![e]), ("lm_head".to_owned(), vec![v, e])]);
    let layout: Vec<TensorLayout> =
        tensors.iter().map(|(name, shape)| TensorLayout::f32(&format!("{name}.weight"), shape)).collect();
    let mut writer = ModelWriter::create(folder, &ModelPlan::new(&config, &layout))?;
    let mut draws = Draws(1);
    for tensor in &layout {
        let values: Vec<f32> = (0..tensor.shape.iter().product()).map(|_| draws.unit() as f32 - 0.5).collect();
        writer.write(&tensor.name, f32_bytes(&values))?;
    }
    Ok(writer.finish()?)
}

/// Whether two files have the same bytes.
fn same(a: &Path, b: &Path) -> Result<bool> {
    if std::fs::metadata(a)?.len() != std::fs::metadata(b)?.len() {
        return Ok(false);
    }
    let (mut a, mut b) = (File::open(a)?, File::open(b)?);
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let read = a.read(&mut left)?;
        if read == 0 {
            return Ok(true);
        }
        b.read_exact(&mut right[..read])?;
        if left[..read] != right[..read] {
            return Ok(false);
        }
    }
}
