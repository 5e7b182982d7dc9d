//! AWQ (arXiv:2306.00978): the inputs of some products are made smaller, and the weights that they meet larger by as much, so that weights which large
//! inputs meet lose less when they are rounded. What makes the inputs (a norm, or the rows of a product before) takes the scales in.
//!
//! Departures: how large an input is, is the root of its mean square (the paper: its mean magnitude), and the power of it is chosen by the
//! error of the rounded weights, weighted by the inputs' mean squares, in place of the output's error on the texts themselves. The product that
//! follows attention stays as it is: where several heads share keys, its inputs outnumber the rows that make them.

use std::collections::BTreeMap;

use inkstone_formats::hf::ModelFolder;
use inkstone_kernels::quantised::{dequantise, quantise};
use inkstone_nn::BlockFormat;

use super::{Calibration, Target};
use crate::CompressError;

/// Powers that are tried: `0, 1/20, …, 1` (section 3.2).
const POWERS: usize = 20;
/// Of the largest input, what the smallest counts as.
const LEAST: f32 = 1e-4;

/// The scales of a model.
#[derive(Debug)]
pub struct Scales {
    calibration: Calibration,
    /// For each tensor what its columns are multiplied with.
    columns: BTreeMap<String, Vec<f32>>,
    /// For each tensor what its rows, or its numbers, are divided by.
    rows: BTreeMap<String, Vec<f32>>,
}

/// Products with the same inputs, and the tensor that makes these.
struct Site {
    maker: String,
    products: Vec<String>,
}

impl Scales {
    /// Chooses the scales of a folder of LLaMA's names.
    ///
    /// # Errors
    /// If the folder is of another architecture, or its tensors can't be read.
    pub fn choose(folder: &ModelFolder, calibration: Calibration, target: Target) -> Result<Self, CompressError> {
        let Target::Blocks(format) = target else {
            return Err(unfit(folder, "method", "awq", "blocks to round to"));
        };
        let mut scales = Self { calibration, columns: BTreeMap::new(), rows: BTreeMap::new() };
        for site in sites(folder)? {
            let Some(chosen) = scales.search(folder, &site, format)? else { continue };
            for product in site.products {
                scales.columns.insert(product, chosen.clone());
            }
            scales.rows.insert(site.maker, chosen);
        }
        Ok(scales)
    }

    /// The scales of a site with the least error; none where inputs were not measured, or rows do not fill blocks.
    fn search(
        &self,
        folder: &ModelFolder,
        site: &Site,
        format: BlockFormat,
    ) -> Result<Option<Vec<f32>>, CompressError> {
        let Some(squares) = self.calibration.mean_squares(&site.products[0]) else { return Ok(None) };
        let width = squares.len();
        if !width.is_multiple_of(format.elements()) {
            return Ok(None);
        }
        let weights = site.products.iter().map(|name| folder.f32(name)).collect::<Result<Vec<_>, _>>()?;
        let mut best = (f64::INFINITY, None);
        for n in 0..=POWERS {
            let scales = powers(&squares, n as f32 / POWERS as f32);
            let error = weights.iter().map(|weight| error(weight, &scales, &squares, format)).sum();
            if error < best.0 {
                best = (error, Some(scales));
            }
        }
        Ok(best.1)
    }

    /// A tensor of the folder as it is written: `values[rows, width]`.
    pub(super) fn apply(&self, name: &str, values: &mut [f32], width: usize) {
        if let Some(scales) = self.rows.get(name) {
            for (row, scale) in values.chunks_exact_mut(width).zip(scales) {
                for value in row {
                    *value /= scale;
                }
            }
        }
        if let Some(scales) = self.columns.get(name) {
            scale_columns(values, scales);
        }
    }

    /// The blocks of a tensor that [`apply`](Self::apply) was applied to.
    pub(super) fn blocks(&self, format: BlockFormat, name: &str, values: &[f32], width: usize) -> Vec<u8> {
        let scales = self.columns.get(name);
        let squares = self.calibration.mean_squares(name).map(|squares| scaled_squares(&squares, scales));
        quantise(format, values, width, squares.as_deref())
    }
}

/// Norms with the products that they feed, and products that feed others number by number.
fn sites(folder: &ModelFolder) -> Result<Vec<Site>, CompressError> {
    let config = folder.config();
    let kind = config.get("model_type").and_then(serde_json::Value::as_str).unwrap_or("missing");
    if !matches!(kind, "llama" | "mistral" | "qwen2") {
        return Err(unfit(
            folder,
            "model_type",
            kind,
            "llama, mistral or qwen2: AWQ has to know what makes a product's inputs",
        ));
    }
    let sizes = inkstone_models::dimensions(config)?;
    let mut sites = Vec::new();
    for n in 0..sizes.layers {
        let site = |maker: &str, products: &[&str]| Site {
            maker: format!("model.layers.{n}.{maker}.weight"),
            products: products.iter().map(|name| format!("model.layers.{n}.{name}.weight")).collect(),
        };
        sites.push(site("input_layernorm", &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]));
        sites.push(site("post_attention_layernorm", &["mlp.gate_proj", "mlp.up_proj"]));
        sites.push(site("mlp.up_proj", &["mlp.down_proj"]));
    }
    // A product with a bias, or one whose outputs go to several places, can't take scales in.
    sites.retain(|site| !folder.contains(&site.maker.replace(".weight", ".bias")));
    Ok(sites)
}

/// `(root mean square)ᵖ`, so that the largest times the smallest is 1 (section 3.2, equation 5).
fn powers(squares: &[f32], power: f32) -> Vec<f32> {
    let most = squares.iter().fold(0.0_f32, |most, &x| most.max(x)).sqrt().max(f32::MIN_POSITIVE);
    let scales: Vec<f32> = squares.iter().map(|x| (x.sqrt() / most).max(LEAST).powf(power)).collect();
    let least = scales.iter().fold(1.0_f32, |least, &x| least.min(x)).sqrt();
    scales.iter().map(|x| x / least).collect()
}

fn scale_columns(values: &mut [f32], scales: &[f32]) {
    for row in values.chunks_exact_mut(scales.len()) {
        row.iter_mut().zip(scales).for_each(|(value, scale)| *value *= scale);
    }
}

/// Mean squares of inputs that were divided by scales.
fn scaled_squares(squares: &[f32], scales: Option<&Vec<f32>>) -> Vec<f32> {
    match scales {
        Some(scales) => squares.iter().zip(scales).map(|(square, scale)| square / (scale * scale)).collect(),
        None => squares.to_vec(),
    }
}

/// The squared error of the outputs, were inputs independent.
fn error(weight: &[f32], scales: &[f32], squares: &[f32], format: BlockFormat) -> f64 {
    let mut scaled = weight.to_vec();
    scale_columns(&mut scaled, scales);
    let squares = scaled_squares(squares, Some(&scales.to_vec()));
    let blocks = quantise(format, &scaled, scales.len(), Some(&squares));
    let mut rounded = vec![0.0; scaled.len()];
    dequantise(format, &blocks, &mut rounded);
    let rows = scaled.chunks_exact(scales.len()).zip(rounded.chunks_exact(scales.len()));
    rows.flat_map(|(a, b)| a.iter().zip(b).zip(&squares))
        .map(|((a, b), square)| f64::from((a - b).powi(2) * square))
        .sum()
}

fn unfit(folder: &ModelFolder, key: &str, got: &str, expected: &'static str) -> CompressError {
    CompressError::Entry { path: folder.path().to_owned(), key: key.into(), got: got.into(), expected }
}
