//! The sampling fields of a request, which all routes share.

use inkstone_engine::Sampling;
use serde_json::Value;

use crate::constraint::Shape;
use crate::error::ApiError;
use crate::fields::Fields;
use crate::model::Served;

/// Bounds of numbers that have none of their own.
const ANY: (f64, f64) = (-1e6, 1e6);

/// How tokens are drawn; what a request does not say is as the model's `generation_config.json` has it.
pub(crate) fn sampling(fields: &Fields<'_>, served: &Served, max_new_tokens: usize) -> Result<Sampling, ApiError> {
    let defaults = &served.defaults;
    let mut stop_ids = if fields.flag("ignore_eos")? == Some(true) { Vec::new() } else { served.tokenizer.stop_ids() };
    stop_ids.extend(fields.ids("stop_token_ids")?);
    let top_k = fields.get("top_k").filter(|k| !matches!(k.as_i64(), Some(-1 | 0)));
    Ok(Sampling {
        max_new_tokens,
        temperature: fields.number("temperature", (0.0, 2.0))?.unwrap_or(defaults.temperature),
        top_k: top_k.map_or(Ok(defaults.top_k), |_| fields.count("top_k", (1, 1 << 20)))?,
        top_p: fields.number("top_p", (0.0, 1.0))?.map(|p| p.max(f32::MIN_POSITIVE)).or(defaults.top_p),
        min_p: fields.number("min_p", (0.0, 1.0))?.or(defaults.min_p),
        typical_p: fields.number("typical_p", (1e-6, 1.0))?.or(defaults.typical_p),
        repetition_penalty: fields.number("repetition_penalty", (1e-3, 1e3))?.unwrap_or(defaults.repetition_penalty),
        presence_penalty: fields.number("presence_penalty", (-2.0, 2.0))?.unwrap_or(0.0),
        frequency_penalty: fields.number("frequency_penalty", (-2.0, 2.0))?.unwrap_or(0.0),
        logit_bias: logit_bias(fields)?,
        min_new_tokens: fields.count("min_tokens", (0, 1 << 24))?.unwrap_or(0),
        seed: fields.seed("seed")?.unwrap_or_else(any_seed),
        stop_ids,
    })
}

/// A seed that nobody asked for.
fn any_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

fn logit_bias(fields: &Fields<'_>) -> Result<Vec<(u32, f32)>, ApiError> {
    let wrong = || ApiError::field("logit_bias", "`logit_bias`: expected token ids, each with -100 to 100");
    let Some(value) = fields.get("logit_bias") else { return Ok(Vec::new()) };
    let map = value.as_object().ok_or_else(wrong)?;
    let one = |(id, bias): (&String, &Value)| {
        let bias = bias.as_f64().filter(|bias| (-100.0..=100.0).contains(bias)).ok_or_else(wrong)?;
        // The bounds stand for never and always.
        let bias = if bias.abs() < 100.0 { bias } else { bias.signum() * ANY.1 };
        Ok((id.parse().map_err(|_| wrong())?, bias as f32))
    };
    map.iter().map(one).collect()
}

/// The shape that `response_format` asks for, and the extensions `guided_regex` and `guided_grammar`.
pub(crate) fn shape(fields: &Fields<'_>) -> Result<Option<Shape>, ApiError> {
    if let Some(regex) = fields.text("guided_regex")? {
        return Ok(Some(Shape::Regex(regex.to_owned())));
    }
    if let Some(grammar) = fields.text("guided_grammar")? {
        return Ok(Some(Shape::Lark(grammar.to_owned())));
    }
    if let Some(schema) = fields.get("guided_json") {
        return Ok(Some(Shape::Json(schema.clone())));
    }
    let Some(format) = fields.get("response_format") else { return Ok(None) };
    let wrong = |message: &str| ApiError::field("response_format", format!("`response_format`: {message}"));
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(Shape::Json(serde_json::json!({ "type": "object" })))),
        Some("json_schema") => {
            let schema = format.pointer("/json_schema/schema").or_else(|| format.get("schema"));
            schema.cloned().map(Shape::Json).map(Some).ok_or_else(|| wrong("`json_schema.schema` is missing"))
        }
        _ => Err(wrong("`type` is `text`, `json_object` or `json_schema`")),
    }
}
