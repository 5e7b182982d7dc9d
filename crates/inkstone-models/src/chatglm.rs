//! The layout in which `ChatGLM2`, `ChatGLM3` and GLM-4 were published first: the same decoder as `GlmForCausalLM`, with other names in
//! `config.json` and of tensors, and queries, keys and values in one matrix.
//!
//! Source: the formulas of the published `modeling_chatglm.py` (the RMSNorm form, rotary positions over half of a head).

use std::ops::Range;

use serde_json::{Value, json};

use crate::ModelError;
use crate::fields::expect;

/// `config` in the spelling of `GlmForCausalLM`; nothing where it is of another layout.
pub(crate) fn modern(config: &Value) -> Result<Option<Value>, ModelError> {
    if config["model_type"] != "chatglm" {
        return Ok(None);
    }
    let flag = |field: &str, default| config[field].as_bool().unwrap_or(default);
    expect(flag("rmsnorm", true), "rmsnorm", false, || "true".into())?;
    expect(!flag("add_bias_linear", false), "add_bias_linear", true, || "false".into())?;
    expect(flag("post_layer_norm", true), "post_layer_norm", false, || "true".into())?;
    let after = flag("apply_residual_connection_post_layernorm", false);
    expect(!after, "apply_residual_connection_post_layernorm", true, || "false".into())?;
    let field = |name: &str| config.get(name).cloned().unwrap_or(Value::Null);
    let groups = if flag("multi_query_attention", false) { "multi_query_group_num" } else { "num_attention_heads" };
    let theta = 10_000.0 * config["rope_ratio"].as_f64().unwrap_or(1.0);
    let mut modern = json!({
        "architectures": ["GlmForCausalLM"], "model_type": "glm", "hidden_act": "silu",
        "vocab_size": config.get("padded_vocab_size").cloned().unwrap_or_else(|| field("vocab_size")),
        "hidden_size": field("hidden_size"), "intermediate_size": field("ffn_hidden_size"),
        "num_hidden_layers": field("num_layers"), "num_attention_heads": field("num_attention_heads"),
        "num_key_value_heads": field(groups), "head_dim": field("kv_channels"),
        "max_position_embeddings": field("seq_length"), "rms_norm_eps": field("layernorm_epsilon"),
        "attention_bias": flag("add_qkv_bias", false), "tie_word_embeddings": flag("tie_word_embeddings", false),
        "rope_parameters": {"rope_type": "default", "rope_theta": theta, "partial_rotary_factor": 0.5},
    });
    for role in ["bos_token_id", "eos_token_id", "pad_token_id"] {
        if let Some(id) = config.get(role) {
            modern[role] = id.clone();
        }
    }
    Ok(Some(modern))
}

/// The rows of a tensor that are one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// The tensor's name.
    pub(crate) name: String,
    /// Its rows; none: all.
    pub(crate) rows: Option<Range<usize>>,
}

/// Where a folder of that layout keeps our tensors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    /// Rows of the queries, and of the keys, as of the values.
    queries: usize,
    keys: usize,
}

impl Names {
    /// Those of a folder with this `config.json`; nothing where it is of another layout.
    pub(crate) fn of(config: &Value) -> Option<Self> {
        let config = modern(config).ok()??;
        let size = |name: &str| config[name].as_u64().map(|size| size as usize);
        let width = size("head_dim")?;
        let rows = |heads: &str| size(heads)?.checked_mul(width);
        Some(Self { queries: rows("num_attention_heads")?, keys: rows("num_key_value_heads")? })
    }

    /// Where the tensor that we call `name` is.
    pub(crate) fn part(self, name: &str) -> Option<Part> {
        let whole = |name: String| Some(Part { name, rows: None });
        match name {
            "model.embed_tokens.weight" => return whole("transformer.embedding.word_embeddings.weight".into()),
            "model.norm.weight" => return whole("transformer.encoder.final_layernorm.weight".into()),
            "lm_head.weight" => return whole("transformer.output_layer.weight".into()),
            _ => {}
        }
        let (block, part) = name.strip_prefix("model.layers.")?.split_once('.')?;
        let (part, end) = part.rsplit_once('.')?;
        let (begin, q, k) = (format!("transformer.encoder.layers.{block}"), self.queries, self.keys);
        let fused =
            |rows| Some(Part { name: format!("{begin}.self_attention.query_key_value.{end}"), rows: Some(rows) });
        match part {
            "self_attn.q_proj" => fused(0..q),
            "self_attn.k_proj" => fused(q..q + k),
            "self_attn.v_proj" => fused(q + k..q + 2 * k),
            "self_attn.o_proj" => whole(format!("{begin}.self_attention.dense.{end}")),
            "mlp.gate_up_proj" => whole(format!("{begin}.mlp.dense_h_to_4h.{end}")),
            "mlp.down_proj" => whole(format!("{begin}.mlp.dense_4h_to_h.{end}")),
            norm => whole(format!("{begin}.{norm}.{end}")),
        }
    }
}
