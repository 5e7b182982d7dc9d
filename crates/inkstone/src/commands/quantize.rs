//! `inkstone quantize` and `inkstone convert`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use inkstone_compress::gguf::{Export, GgufModel, export};
use inkstone_compress::quantise::{Judgement, Method, Scales, Statistics, Target, calibrate, judge};
use inkstone_formats::hf::ModelFolder;
use inkstone_models::Model;
use inkstone_recipe::Progress as _;
use inkstone_tokenizer::{Tokenizer, TokenizerError};
use serde_json::{Value, json};

use super::bench_model::decode_rate;
use crate::cli::compress::{Convert, Method as Asked, Quantize};
use crate::hint::hinted;
use crate::model;
use crate::printer::{Printer, bytes, thousands};

/// Largest text that is read.
const MAX_TEXT: u64 = 1 << 30;
/// Largest `tokenizer.json` that is put into a file.
const MAX_TOKENIZER: u64 = 512 << 20;
/// Tokens that are decoded to see how fast that is.
const DECODED: usize = 32;
/// Tokens that a model reads at once.
const ROW: usize = 512;

/// A model folder with its tokenizer, where it has one.
struct Source {
    folder: ModelFolder,
    tokenizer: Option<(Tokenizer, Value)>,
}

impl Source {
    fn open(reference: &str, runs: &Path) -> anyhow::Result<Self> {
        let path = model::folder(reference, runs)?;
        let folder = ModelFolder::open(&path).with_context(|| format!("opening {}", path.display()))?;
        let json = path.join("tokenizer.json");
        if !json.exists() {
            return Ok(Self { folder, tokenizer: None });
        }
        let text = inkstone_recipe::fs::read_to_string(&json, MAX_TOKENIZER)?;
        let value = serde_json::from_str(&text).with_context(|| format!("reading {}", json.display()))?;
        Ok(Self { folder, tokenizer: Some((Tokenizer::load(&path)?, value)) })
    }

    /// The first `n` tokens of a text.
    fn ids(&self, text: &Path, n: usize) -> anyhow::Result<Vec<u32>> {
        let Some((tokenizer, _)) = &self.tokenizer else {
            return Err(hinted(
                "the model has no tokenizer to read the text with",
                "put tokenizer.json beside config.json",
            ));
        };
        let read = inkstone_recipe::fs::read_to_string(text, MAX_TEXT);
        let mut ids = tokenizer.encode(&read.with_context(|| format!("reading {}", text.display()))?)?;
        ids.truncate(n);
        Ok(ids)
    }

    fn write(&self, target: Target, method: &Method, to: &Path, printer: &Printer) -> anyhow::Result<()> {
        let tokenizer = self.tokenizer.as_ref().map(|(tokenizer, json)| (tokenizer, json));
        let task = printer.task("writing", Some(100), "%");
        let what = Export { folder: &self.folder, tokenizer, target, method };
        export(&what, to, &mut |done, total| task.set(done * 100 / total.max(1)))
            .with_context(|| format!("writing {}", to.display()))
    }
}

fn target(name: &str) -> anyhow::Result<Target> {
    let refused = || hinted(format!("{name} is no type of weights"), format!("one of {}", Target::names().join(", ")));
    Target::from_name(&name.to_lowercase()).ok_or_else(refused)
}

pub(crate) fn quantize(args: &Quantize, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    let (target, source) = (target(&args.to)?, Source::open(&args.model, runs)?);
    let method = method(args, &source, target, printer)?;
    let output = args.output.clone().unwrap_or_else(|| default_output(&source, &args.to));
    source.write(target, &method, &output, printer)?;
    drop(method);
    let rows = compare(args, &source, &output, printer)?;
    if args.json {
        let method = format!("{:?}", args.method).to_lowercase();
        printer.json(&json!({"output": output, "to": args.to, "method": method, "models": rows}))?;
        return Ok(ExitCode::SUCCESS);
    }
    printer.data(&format!(
        "{:<10} {:>10} {:>12} {:>14} {:>10} {:>10}",
        "", "size", "perplexity", "KL, nats", "same top", "tokens/s"
    ))?;
    for row in &rows {
        printer.data(&line(row))?;
    }
    printer.data(&format!("written to {}", output.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn line(row: &Value) -> String {
    let number = |key: &str, digits: usize| row[key].as_f64().map_or("–".to_owned(), |x| format!("{x:.digits$}"));
    let size = bytes(row["bytes"].as_u64().unwrap_or(0));
    let same = row["same_top"].as_f64().map_or("–".to_owned(), |x| format!("{:.1} %", 100.0 * x));
    format!(
        "{:<10} {size:>10} {:>12} {:>14} {same:>10} {:>10}",
        row["name"].as_str().unwrap_or_default(),
        number("perplexity", 3),
        number("divergence", 5),
        number("tokens_per_second", 1)
    )
}

fn default_output(source: &Source, to: &str) -> PathBuf {
    let path = source.folder.path();
    let name = path.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
    PathBuf::from(format!("{name}-{to}.gguf"))
}

fn method(args: &Quantize, source: &Source, target: Target, printer: &Printer) -> anyhow::Result<Method> {
    let statistics = match args.method {
        Asked::Nearest => return Ok(Method::Nearest),
        Asked::Importance | Asked::Awq => Statistics::Squares,
        Asked::Gptq => Statistics::Products,
    };
    let Some(text) = &args.calibrate else {
        return Err(hinted("this method has to see the model's inputs", "give a text with --calibrate FILE"));
    };
    let ids = source.ids(text, args.calibration_tokens)?;
    let task = printer.task("calibrating", Some(ids.len() as u64), "tokens");
    let context = row_length(source)?;
    let calibration = calibrate(&source.folder, (&ids, context), statistics, &mut |done, _| {
        task.set(done);
        true
    })
    .with_context(|| format!("calibrating on {}", text.display()))?;
    Ok(match args.method {
        Asked::Gptq => Method::Gptq(calibration),
        Asked::Awq => Method::Awq(Scales::choose(&source.folder, calibration, target)?),
        Asked::Importance | Asked::Nearest => Method::Importance(calibration),
    })
}

fn row_length(source: &Source) -> anyhow::Result<usize> {
    Ok(inkstone_models::dimensions(source.folder.config())?.positions.min(ROW))
}

/// A row of the table for the original and one for what was made of it.
fn compare(args: &Quantize, source: &Source, output: &Path, printer: &Printer) -> anyhow::Result<Vec<Value>> {
    let device = inkstone_nn::device();
    let before = Model::load(source.folder.path(), inkstone_nn::Precision::F32, &device)?;
    let after = GgufModel::open(output)?.load(&device)?;
    let judgement = match &args.text {
        Some(text) => {
            Some(judgement((&before, &after), &source.ids(text, args.text_tokens)?, row_length(source)?, printer))
        }
        None => None,
    };
    let size: u64 = source.folder.tensors().map(|(_, tensor)| tensor.bytes.len() as u64).sum();
    let row = |name: &str, bytes: u64, model: &Model| json!({"name": name, "bytes": bytes, "tokens_per_second": decode_rate(model, DECODED).ok()});
    let mut rows = vec![row("original", size, &before), row(&args.to, std::fs::metadata(output)?.len(), &after)];
    if let Some(judged) = judgement {
        for (row, loss) in rows.iter_mut().zip([judged.loss_before, judged.loss_after]) {
            row["loss"] = loss.into();
            row["perplexity"] = loss.exp().into();
            row["tokens"] = judged.tokens.into();
        }
        rows[1]["divergence"] = judged.divergence.into();
        rows[1]["same_top"] = judged.same_top.into();
    }
    Ok(rows)
}

fn judgement(models: (&Model, &Model), ids: &[u32], context: usize, printer: &Printer) -> Judgement {
    let task = printer.task("comparing", Some(ids.len() as u64), "tokens");
    judge(models, (ids, context), &mut |done, _| {
        task.set(done);
        true
    })
}

pub(crate) fn convert(args: &Convert, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    if model::is_gguf(&args.model) {
        return to_folder(args, printer);
    }
    if !model::names_gguf(&args.output) {
        return to_newest(args, runs, printer);
    }
    let target = target(&args.to)?;
    if matches!(target, Target::Blocks(_)) {
        return Err(hinted(
            "blocks are made by another command",
            format!("inkstone quantize {} --to {}", args.model, args.to),
        ));
    }
    Source::open(&args.model, runs)?.write(target, &Method::Nearest, &args.output, printer)?;
    let size = std::fs::metadata(&args.output)?.len();
    printer.talk(&format!("{}: {}", args.output.display(), bytes(size)));
    Ok(ExitCode::SUCCESS)
}

/// A model folder of whatever layout (shards, PyTorch's pickles, older names and vocabularies) in that of today, in single precision.
fn to_newest(args: &Convert, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    let (path, started) = (model::folder(&args.model, runs)?, Instant::now());
    let model = Model::load(&path, inkstone_nn::Precision::F32, &inkstone_nn::device());
    let model = model.with_context(|| format!("loading the model {}", path.display()))?;
    let seconds = started.elapsed().as_secs_f64();
    model.save(&args.output).with_context(|| format!("writing {}", args.output.display()))?;
    match Tokenizer::load(&path) {
        Ok(tokenizer) => tokenizer.save(&args.output)?,
        Err(TokenizerError::NotFound { .. }) => printer.talk("without a tokenizer, for the folder has none"),
        Err(error) => return Err(error).with_context(|| format!("loading the tokenizer of {}", path.display())),
    }
    if args.json {
        let parameters = model.n_parameters();
        printer.json(&json!({"output": args.output, "parameters": parameters, "load_seconds": seconds}))?;
    } else {
        printer.talk(&format!("{}: {} parameters", args.output.display(), thousands(model.n_parameters())));
    }
    Ok(ExitCode::SUCCESS)
}

/// A GGUF file as a Hugging Face folder, in single precision.
fn to_folder(args: &Convert, printer: &Printer) -> anyhow::Result<ExitCode> {
    let file = GgufModel::open(Path::new(&args.model)).with_context(|| format!("opening {}", args.model))?;
    let model = file.load_dense(&inkstone_nn::device()).with_context(|| format!("loading {}", args.model))?;
    model.save(&args.output).with_context(|| format!("writing {}", args.output.display()))?;
    file.tokenizer()?.save(&args.output)?;
    printer.talk(&format!("{}: {} parameters", args.output.display(), thousands(model.n_parameters())));
    Ok(ExitCode::SUCCESS)
}
