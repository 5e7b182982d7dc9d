//! A folder as a file.

use std::path::Path;

use inkstone_formats::gguf::{GgmlType, GgufLayout, GgufValue, GgufWriter};
use inkstone_formats::hf::ModelFolder;
use inkstone_formats::safetensors::f32_bytes;
use inkstone_models::Dimensions;
use inkstone_nn::BlockFormat;
use inkstone_tokenizer::Tokenizer;
use serde_json::Value;

use super::import::transposed;
use super::names::{Names, Part};
use super::{settings, tokenizer};
use crate::CompressError;
use crate::quantise::{Method, Target};

/// What becomes of a folder.
pub struct Export<'a> {
    /// The folder.
    pub folder: &'a ModelFolder,
    /// Its tokenizer, and the `tokenizer.json` that it was read from.
    pub tokenizer: Option<(&'a Tokenizer, &'a Value)>,
    /// The type of the weights.
    pub target: Target,
    /// How numbers become blocks.
    pub method: &'a Method,
}

/// A tensor of the folder, and where the file has it.
struct Planned {
    name: String,
    parts: Vec<Part>,
    /// `[rows, columns]`, or one axis, as the file sees it.
    shape: Vec<usize>,
    kind: GgmlType,
}

/// Writes `path`, tensor after tensor; `progress` hears how many of how many numbers are written.
pub fn export(export: &Export<'_>, path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<(), CompressError> {
    let config = export.folder.config();
    let model_type = config.get("model_type").and_then(Value::as_str).unwrap_or("missing");
    let names = Names::of_model_type(model_type).ok_or_else(|| CompressError::Architecture {
        path: export.folder.path().to_owned(),
        got: model_type.to_owned(),
        known: Names::known(),
    })?;
    let sizes = inkstone_models::dimensions(config)?;
    let plan = plan(export, names, &sizes)?;
    let mut layouts: Vec<GgufLayout> = plan.iter().flat_map(layouts_of).collect();
    let factors = inkstone_models::frequency_factors(config, sizes.head_width);
    layouts.extend(factors.iter().map(|factors| GgufLayout {
        name: settings::FACTORS.into(),
        kind: GgmlType::F32,
        shape: vec![factors.len()],
    }));
    let mut writer = GgufWriter::create(path, &entries(export, names, &sizes)?, &layouts)?;
    let total: u64 = plan.iter().map(|tensor| tensor.shape.iter().product::<usize>() as u64).sum();
    let mut done = 0;
    for tensor in &plan {
        write(export, names, tensor, &mut writer)?;
        done += tensor.shape.iter().product::<usize>() as u64;
        progress(done, total);
    }
    if let Some(factors) = factors {
        writer.write(settings::FACTORS, f32_bytes(&factors))?;
    }
    Ok(writer.finish()?)
}

fn entries(export: &Export<'_>, names: &Names, sizes: &Dimensions) -> Result<Vec<(String, GgufValue)>, CompressError> {
    let folder = export.folder;
    let mut entries = settings::entries_of(folder.path(), names, folder.config())?;
    entries.push(("general.file_type".into(), GgufValue::U32(export.target.file_type())));
    entries.push(("general.quantization_version".into(), GgufValue::U32(2)));
    if let Some((tokenizer, json)) = export.tokenizer {
        entries.extend(tokenizer::entries_of(json, tokenizer, sizes.vocabulary));
    }
    Ok(entries)
}

/// Which tensors the file will have. A head that is also the embedding is left out, as is what follows from the settings.
fn plan(export: &Export<'_>, names: &Names, sizes: &Dimensions) -> Result<Vec<Planned>, CompressError> {
    let folder = export.folder;
    let tied = folder.config().get("tie_word_embeddings").and_then(Value::as_bool);
    let tied = tied.unwrap_or(!folder.contains("lm_head.weight"));
    let derived = |name: &str| {
        let ends = [
            "rotary_emb.inv_freq",
            ".attn.bias",
            ".attn.masked_bias",
            "model.future_mask",
            "encoder.embed_tokens.weight",
            "decoder.embed_tokens.weight",
        ];
        ends.iter().any(|end| name.ends_with(end)) || (tied && name == "lm_head.weight")
    };
    let mut planned = Vec::new();
    for name in folder.names().filter(|name| !derived(name)) {
        let mut parts = names.parts(name, sizes);
        if parts.is_empty() {
            // Folders of the bare model leave this out.
            parts = names.parts(&format!("transformer.{name}"), sizes);
        }
        if parts.is_empty() {
            let (path, architecture) = (folder.path().to_owned(), names.architecture.to_owned());
            return Err(CompressError::Unnamed { path, tensor: name.to_owned(), architecture });
        }
        let mut shape = folder.tensor(name)?.shape.to_vec();
        if names.is_transposed(name) {
            shape.reverse();
        }
        let kind = export.target.kind_of(&parts[0].name, &shape, tied);
        planned.push(Planned { name: name.to_owned(), parts, shape, kind });
    }
    Ok(planned)
}

fn layouts_of(tensor: &Planned) -> Vec<GgufLayout> {
    let mut shape = tensor.shape.clone();
    shape[0] /= tensor.parts.len();
    tensor
        .parts
        .iter()
        .map(|part| GgufLayout { name: part.name.clone(), kind: tensor.kind, shape: shape.clone() })
        .collect()
}

fn write(export: &Export<'_>, names: &Names, tensor: &Planned, writer: &mut GgufWriter) -> Result<(), CompressError> {
    let mut values = export.folder.f32(&tensor.name)?;
    if let (true, [rows, columns]) = (names.is_transposed(&tensor.name), tensor.shape.as_slice()) {
        values = transposed(&values, [*columns, *rows]);
    }
    if tensor.name == "lm_head.weight" && has_normalised_head(export.folder.config()) {
        normalise_rows(&mut values, tensor.shape[1]);
    }
    let width = if tensor.shape.len() > 1 { tensor.shape[1] } else { 1 };
    export.method.prepare(&tensor.name, &mut values, width);
    let bytes = encode(export, tensor, &values, width);
    let rows = tensor.shape[0] / tensor.parts.len();
    let row_bytes = bytes.len() / tensor.shape[0].max(1);
    for (part, bytes) in tensor.parts.iter().zip(bytes.chunks_exact((rows * row_bytes).max(1))) {
        if !part.order.fits(rows) {
            return Err(CompressError::Entry {
                path: export.folder.path().to_owned(),
                key: tensor.name.clone(),
                got: format!("{rows} rows"),
                expected: "a multiple of the number of heads",
            });
        }
        let mut sorted = vec![0; bytes.len()];
        for (row, to) in part.order.rows(rows).into_iter().enumerate() {
            sorted[to * row_bytes..][..row_bytes].copy_from_slice(&bytes[row * row_bytes..][..row_bytes]);
        }
        writer.write(&part.name, &sorted)?;
    }
    Ok(())
}

/// Baichuan 2 divides each row of its head by the row's length (only it has this field); a file holds the rows as they are used.
fn has_normalised_head(config: &Value) -> bool {
    config.get("model_type").and_then(Value::as_str) == Some("baichuan")
        && config.get("z_loss_weight").is_some_and(|weight| !weight.is_null())
}

fn normalise_rows(values: &mut [f32], width: usize) {
    for row in values.chunks_exact_mut(width.max(1)) {
        let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12) as f32;
        for x in row {
            *x /= length;
        }
    }
}

/// The numbers in the type of the tensor.
fn encode(export: &Export<'_>, tensor: &Planned, values: &[f32], width: usize) -> Vec<u8> {
    match BlockFormat::from_name(tensor.kind.name) {
        Some(format) => export.method.blocks(format, &tensor.name, values, width),
        None if tensor.kind == GgmlType::F32 => f32_bytes(values).to_vec(),
        None => Target::half(tensor.kind, values),
    }
}
