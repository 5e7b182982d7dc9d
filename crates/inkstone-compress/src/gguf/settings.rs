//! Settings: `config.json` and the entries of a file.

use std::path::Path;

use inkstone_formats::gguf::{GgufFile, GgufValue};
use serde_json::{Map, Value, json};

use super::names::Names;
use crate::CompressError;

/// A setting: the file's key without the architecture, the folder's field, whether it is a whole number.
type Setting = (&'static str, &'static str, bool);

const LLAMA: &[Setting] = &[
    ("context_length", "max_position_embeddings", true),
    ("embedding_length", "hidden_size", true),
    ("block_count", "num_hidden_layers", true),
    ("feed_forward_length", "intermediate_size", true),
    ("attention.head_count", "num_attention_heads", true),
    ("attention.head_count_kv", "num_key_value_heads", true),
    ("attention.key_length", "head_dim", true),
    ("attention.sliding_window", "sliding_window", true),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps", false),
    ("rope.freq_base", "rope_theta", false),
];

const BAICHUAN: &[Setting] = &[
    ("context_length", "model_max_length", true),
    ("embedding_length", "hidden_size", true),
    ("block_count", "num_hidden_layers", true),
    ("feed_forward_length", "intermediate_size", true),
    ("attention.head_count", "num_attention_heads", true),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps", false),
];

const GPT2: &[Setting] = &[
    ("context_length", "n_positions", true),
    ("embedding_length", "n_embd", true),
    ("block_count", "n_layer", true),
    ("feed_forward_length", "n_inner", true),
    ("attention.head_count", "n_head", true),
    ("attention.layer_norm_epsilon", "layer_norm_epsilon", false),
];

const BLOOM: &[Setting] = &[
    ("context_length", "seq_length", true),
    ("embedding_length", "hidden_size", true),
    ("block_count", "n_layer", true),
    ("attention.head_count", "n_head", true),
    ("attention.layer_norm_epsilon", "layer_norm_epsilon", false),
];

const T5: &[Setting] = &[
    ("context_length", "n_positions", true),
    ("embedding_length", "d_model", true),
    ("block_count", "num_layers", true),
    ("decoder_block_count", "num_decoder_layers", true),
    ("feed_forward_length", "d_ff", true),
    ("attention.head_count", "num_heads", true),
    ("attention.key_length", "d_kv", true),
    ("attention.value_length", "d_kv", true),
    ("attention.relative_buckets_count", "relative_attention_num_buckets", true),
    ("attention.layer_norm_rms_epsilon", "layer_norm_epsilon", false),
    ("decoder_start_token_id", "decoder_start_token_id", true),
];

/// The largest slope of `ALiBi`, as a file of Baichuan says it.
const MAX_BIAS: &str = "baichuan.attention.max_alibi_bias";

fn settings_of(names: &Names) -> &'static [Setting] {
    match names.architecture {
        "baichuan" => BAICHUAN,
        "gpt2" => GPT2,
        "bloom" => BLOOM,
        "t5" => T5,
        _ => LLAMA,
    }
}

/// The names that the architecture of a file goes by.
pub(super) fn names_of(file: &GgufFile) -> Result<&'static Names, CompressError> {
    let got = file.get("general.architecture").and_then(GgufValue::as_str).unwrap_or("missing");
    Names::of_architecture(got).ok_or_else(|| CompressError::Architecture {
        path: file.path().to_owned(),
        got: got.to_owned(),
        known: Names::known(),
    })
}

/// The `config.json` that a file's entries mean.
pub(super) fn config_of(file: &GgufFile, names: &Names) -> Result<Value, CompressError> {
    let mut config = Map::new();
    let model_type = names.model_types[0];
    config.insert("model_type".into(), model_type.into());
    config.insert("architectures".into(), json!([class_of(model_type)]));
    for (key, field, whole) in settings_of(names) {
        let key = format!("{}.{key}", names.architecture);
        let Some(value) = file.get(&key) else { continue };
        let number = if *whole { value.as_u64().map(Value::from) } else { value.as_f64().map(short) };
        let wrong = || entry(file.path(), &key, value, "a number");
        config.insert((*field).into(), number.ok_or_else(wrong)?);
    }
    if config.contains_key("sliding_window") && names.architecture == "llama" {
        config.insert("model_type".into(), "mistral".into());
        config.insert("architectures".into(), json!(["MistralForCausalLM"]));
    }
    if let Some(stretched) = stretched(file, names)? {
        config.insert("rope_scaling".into(), stretched);
    }
    let table = file.tensor("token_embd.weight")?;
    config.insert("vocab_size".into(), table.shape.first().copied().unwrap_or(0).into());
    config.insert("tie_word_embeddings".into(), (!file.contains("output.weight")).into());
    match names.architecture {
        "baichuan" => rotary_or_alibi(&mut config, file),
        "llama" if file.contains("blk.0.attn_output.bias") => drop(config.insert("attention_bias".into(), true.into())),
        "t5" => {
            let gated = file.contains("enc.blk.0.ffn_gate.weight");
            config.insert("feed_forward_proj".into(), if gated { "gated-gelu" } else { "relu" }.into());
        }
        _ => {}
    }
    for (id, field) in [("bos", "bos_token_id"), ("eos", "eos_token_id"), ("padding", "pad_token_id")] {
        if let Some(id) = file.get(&format!("tokenizer.ggml.{id}_token_id")).and_then(GgufValue::as_u64) {
            config.insert(field.into(), id.into());
        }
    }
    Ok(config.into())
}

/// Baichuan's form with rotary positions has `max_position_embeddings` in its folder. Files of the other form have a bias, or are told by
/// their 40 blocks.
fn rotary_or_alibi(config: &mut Map<String, Value>, file: &GgufFile) {
    let biased = file.get(MAX_BIAS).and_then(GgufValue::as_f64).is_some_and(|bias| bias > 0.0);
    let large = config.get("num_hidden_layers").and_then(Value::as_u64) == Some(40);
    if let Some(context) = config.get("model_max_length").cloned().filter(|_| !biased && !large) {
        config.insert("max_position_embeddings".into(), context);
    }
}

/// The settings of stretched rotary frequencies: the file's key, the folder's field.
const STRETCHED: [(&str, &str); 2] =
    [("factor", "factor"), ("original_context_length", "original_max_position_embeddings")];

/// By what each rotary frequency is divided.
pub(super) const FACTORS: &str = "rope_freqs.weight";

/// How a file stretches its rotary frequencies, if it does.
fn stretched(file: &GgufFile, names: &Names) -> Result<Option<Value>, CompressError> {
    match scaled(file, names)? {
        Some(scaling) => Ok(Some(scaling)),
        None if file.contains(FACTORS) => {
            let factors: Vec<Value> =
                file.tensor(FACTORS)?.plain().unwrap_or_default().into_iter().map(Value::from).collect();
            let fields = json!({ "rope_type": "longrope", "short_factor": factors, "long_factor": factors, "attention_factor": 1.0 });
            Ok(Some(fields))
        }
        None => Ok(None),
    }
}

/// What a file's entries say of stretching.
fn scaled(file: &GgufFile, names: &Names) -> Result<Option<Value>, CompressError> {
    let key = |name: &str| format!("{}.rope.scaling.{name}", names.architecture);
    let (Some(kind), rotary) = (file.get(&key("type")), matches!(names.architecture, "llama" | "qwen2")) else {
        return Ok(None);
    };
    match kind.as_str() {
        Some("none") => Ok(None),
        Some(known @ ("linear" | "yarn")) if rotary => {
            let mut fields = Map::from_iter([("rope_type".to_owned(), Value::from(known))]);
            for (name, field) in STRETCHED {
                if let Some(value) = file.get(&key(name)) {
                    let number = value.as_u64().map(Value::from).or_else(|| value.as_f64().map(short));
                    let number = number.ok_or_else(|| entry(file.path(), &key(name), value, "a number"))?;
                    fields.insert(field.into(), number);
                }
            }
            Ok(Some(fields.into()))
        }
        _ => Err(entry(file.path(), &key("type"), kind, "none, linear or yarn")),
    }
}

/// The entries that a `config.json` means, general ones first.
pub(super) fn entries_of(
    path: &Path,
    names: &Names,
    config: &Value,
) -> Result<Vec<(String, GgufValue)>, CompressError> {
    let mut entries = vec![("general.architecture".to_owned(), GgufValue::String(names.architecture.into()))];
    for (key, field, whole) in settings_of(names) {
        let Some(value) = config.get(field).filter(|value| !value.is_null()).or_else(|| nested(config, field)) else {
            continue;
        };
        let number = if *whole {
            value.as_u64().and_then(|x| u32::try_from(x).ok()).map(GgufValue::U32)
        } else {
            value.as_f64().map(|x| GgufValue::F32(x as f32))
        };
        let wrong = || CompressError::Entry {
            path: path.to_owned(),
            key: (*field).to_owned(),
            got: value.to_string(),
            expected: "a number",
        };
        entries.push((format!("{}.{key}", names.architecture), number.ok_or_else(wrong)?));
    }
    add_implied(&mut entries, names, path, config)?;
    Ok(entries)
}

/// `rope_theta` stands among the rotary settings in the spelling of transformers 5.
fn nested<'a>(config: &'a Value, field: &str) -> Option<&'a Value> {
    config.get("rope_parameters")?.get(field)
}

/// What a folder leaves to defaults and a file must say.
fn add_implied(
    entries: &mut Vec<(String, GgufValue)>,
    names: &Names,
    path: &Path,
    config: &Value,
) -> Result<(), CompressError> {
    if names.architecture == "t5" {
        refuse_unusual(path, config)?;
    }
    let sizes = inkstone_models::dimensions(config)?;
    let mut imply = |key: &str, value: usize| {
        let key = format!("{}.{key}", names.architecture);
        if entries.iter().all(|(known, _)| *known != key) {
            entries.push((key, GgufValue::U32(value as u32)));
        }
    };
    imply("context_length", sizes.positions);
    imply("feed_forward_length", sizes.feed_forward);
    imply("attention.head_count_kv", sizes.key_heads);
    imply("vocab_size", sizes.vocabulary);
    if matches!(names.architecture, "llama" | "qwen2" | "baichuan") {
        imply("rope.dimension_count", sizes.head_width);
        imply("attention.key_length", sizes.head_width);
        imply("attention.value_length", sizes.head_width);
    }
    if names.architecture == "baichuan" && config.get("max_position_embeddings").is_none_or(Value::is_null) {
        entries.push((MAX_BIAS.to_owned(), GgufValue::F32(8.0)));
    }
    if config.get("use_sliding_window").and_then(Value::as_bool) == Some(true) {
        return Err(CompressError::Entry {
            path: path.to_owned(),
            key: "use_sliding_window".into(),
            got: "true".into(),
            expected: "false: a window on some blocks alone has no entry in GGUF",
        });
    }
    add_stretched(entries, names, path, config)
}

/// What a file of T5 has no entry for, and its readers take for granted.
fn refuse_unusual(path: &Path, config: &Value) -> Result<(), CompressError> {
    let tied = [config.get("tie_word_embeddings").cloned().unwrap_or(true.into())];
    let usual: [(&str, &[Value], &str); 3] = [
        ("relative_attention_max_distance", &[128.into()], "128"),
        ("feed_forward_proj", &["relu".into(), "gated-gelu".into()], "relu or gated-gelu"),
        ("scale_decoder_outputs", &tied, "as tie_word_embeddings"),
    ];
    for (key, values, expected) in usual {
        if let Some(got) = config.get(key).filter(|got| !got.is_null() && !values.contains(got)) {
            let (path, key, got) = (path.to_owned(), key.to_owned(), got.to_string());
            return Err(CompressError::Entry { path, key, got, expected });
        }
    }
    Ok(())
}

/// How the rotary frequencies are stretched.
fn add_stretched(
    entries: &mut Vec<(String, GgufValue)>,
    names: &Names,
    path: &Path,
    config: &Value,
) -> Result<(), CompressError> {
    let own = |name: &str| config.get(name).filter(|value| !value.is_null());
    let Some(scaling) = own("rope_parameters").or_else(|| own("rope_scaling")) else { return Ok(()) };
    let kind = scaling.get("rope_type").or(scaling.get("type")).and_then(Value::as_str);
    // What a file has no entry for has to be what its readers take for granted.
    let usual = ["beta_fast", "beta_slow", "attention_factor", "truncate"]
        .iter()
        .all(|name| scaling.get(name).is_none_or(Value::is_null));
    let key = |name: &str| format!("{}.rope.scaling.{name}", names.architecture);
    match kind {
        // Those that change each frequency in its own way are a tensor.
        None | Some("default" | "llama3") => Ok(()),
        Some("longrope") if scaling.get("attention_factor").and_then(Value::as_f64) == Some(1.0) => Ok(()),
        Some(kind @ ("linear" | "yarn")) if usual => {
            entries.push((key("type"), GgufValue::String(kind.into())));
            let factor = scaling.get("factor").and_then(Value::as_f64).unwrap_or(1.0);
            entries.push((key("factor"), GgufValue::F32(factor as f32)));
            if let Some(context) = scaling.get("original_max_position_embeddings").and_then(Value::as_u64) {
                entries.push((key("original_context_length"), GgufValue::U32(context as u32)));
            }
            Ok(())
        }
        Some(kind) => Err(CompressError::Entry {
            path: path.to_owned(),
            key: "rope_type".into(),
            got: kind.into(),
            expected: "default, linear, llama3, yarn with its usual bounds, or longrope without a factor on scores: others are not written to GGUF",
        }),
    }
}

fn class_of(model_type: &str) -> &'static str {
    match model_type {
        "qwen2" => "Qwen2ForCausalLM",
        "baichuan" => "BaichuanForCausalLM",
        "gpt2" => "GPT2LMHeadModel",
        "bloom" => "BloomForCausalLM",
        "t5" => "T5ForConditionalGeneration",
        _ => "LlamaForCausalLM",
    }
}

/// A number of single precision as it was written before it was rounded: the shortest that rounds to it.
fn short(x: f64) -> Value {
    (x as f32).to_string().parse::<f64>().unwrap_or(x).into()
}

fn entry(path: &Path, key: &str, value: &GgufValue, expected: &'static str) -> CompressError {
    CompressError::Entry { path: path.to_owned(), key: key.to_owned(), got: format!("{value:?}"), expected }
}
