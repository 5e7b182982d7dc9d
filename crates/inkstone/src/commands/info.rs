//! `inkstone info`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use inkstone_compress::gguf::GgufModel;
use inkstone_formats::hf::ModelFolder;
use inkstone_recipe::Artifact;
use inkstone_tokenizer::Tokenizer;
use serde_json::{Value, json};

use crate::cli::Model;
use crate::model;
use crate::printer::{Printer, bytes, short};

pub(crate) fn info(args: &Model, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    if model::is_gguf(&args.model) {
        return info_of_gguf(args, printer);
    }
    let path = model::folder(&args.model, runs)?;
    let folder = ModelFolder::open(&path).with_context(|| format!("opening {}", path.display()))?;
    let tokenizer = Tokenizer::load(&path).ok();
    let tensors: Vec<Value> = folder.tensors().map(|(name, tensor)| json!({"name": name, "shape": tensor.shape, "dtype": format!("{:?}", tensor.dtype), "bytes": tensor.bytes.len()})).collect();
    let size: u64 = folder.tensors().map(|(_, tensor)| tensor.bytes.len() as u64).sum();
    let parameters: usize = folder.tensors().map(|(_, tensor)| tensor.shape.iter().product::<usize>()).sum();
    let made = Artifact::open(&path).ok().map(|artifact| artifact.manifest);
    let config = folder.config();
    let sizes = inkstone_models::dimensions(config).ok();
    let info = json!({
        "folder": path, "architecture": config["architectures"][0], "model_type": config["model_type"], "parameters": parameters, "bytes": size,
        "context": sizes.as_ref().map(|sizes| sizes.positions), "vocab_size": sizes.as_ref().map(|sizes| sizes.vocabulary),
        "dimensions": sizes,
        "tokenizer": tokenizer.as_ref().map(Tokenizer::vocab_size), "chat_template": tokenizer.as_ref().is_some_and(Tokenizer::has_chat_template),
        "artifact": made.as_ref().map(|made| &made.content), "recipe": made.as_ref().map(|made| format!("{}/{}", made.recipe, made.stage)),
        "config": config, "tensors": tensors,
    });
    if args.json {
        printer.json(&info)?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&info, &args.model, printer)?;
    printer.data(&format!("size           {}", bytes(size)))?;
    Ok(ExitCode::SUCCESS)
}

fn info_of_gguf(args: &Model, printer: &Printer) -> anyhow::Result<ExitCode> {
    let file = GgufModel::open(Path::new(&args.model)).with_context(|| format!("opening {}", args.model))?;
    let tokenizer = file.tokenizer().ok();
    let all = file.file().names().filter_map(|name| Some((name, file.file().tensor(name).ok()?)));
    let tensors: Vec<Value> = all.map(|(name, tensor)| json!({"name": name, "shape": tensor.shape, "dtype": tensor.kind.name, "bytes": tensor.bytes.len(), "numbers": tensor.shape.iter().product::<usize>()})).collect();
    let sum = |key: &str| tensors.iter().filter_map(|tensor| tensor[key].as_u64()).sum::<u64>();
    let config = file.config();
    let sizes = inkstone_models::dimensions(config).ok();
    let info = json!({
        "file": args.model, "architecture": config["architectures"][0], "model_type": config["model_type"], "parameters": sum("numbers"), "bytes": sum("bytes"),
        "context": sizes.as_ref().map(|sizes| sizes.positions), "vocab_size": sizes.as_ref().map(|sizes| sizes.vocabulary),
        "dimensions": sizes,
        "tokenizer": tokenizer.as_ref().map(Tokenizer::vocab_size), "chat_template": tokenizer.as_ref().is_some_and(Tokenizer::has_chat_template),
        "config": config, "tensors": tensors,
    });
    if args.json {
        printer.json(&info)?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&info, &args.model, printer)?;
    printer.data(&format!(
        "size           {}, {:.2} bits a weight",
        bytes(sum("bytes")),
        8.0 * sum("bytes") as f64 / sum("numbers").max(1) as f64
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn print(info: &Value, reference: &str, printer: &Printer) -> anyhow::Result<()> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    printer.data(&format!("architecture   {}", text(&info["architecture"])))?;
    printer.data(&format!("parameters     {}", short(info["parameters"].as_f64().unwrap_or(0.0))))?;
    let sizes = &info["dimensions"];
    printer.data(&format!(
        "shape          {} layers, width {}, {} heads over {} key heads, feed-forward {}",
        sizes["layers"], sizes["width"], sizes["heads"], sizes["key_heads"], sizes["feed_forward"]
    ))?;
    printer.data(&format!("context        {} tokens", info["context"]))?;
    printer.data(&format!("vocabulary     {} ids; tokenizer: {}", info["vocab_size"], info["tokenizer"]))?;
    printer.data(&format!("chat template  {}", if info["chat_template"] == true { "yes" } else { "no" }))?;
    if let Some(recipe) = info["recipe"].as_str() {
        printer.data(&format!("made by        {recipe} (inkstone show {reference})"))?;
    }
    Ok(())
}
