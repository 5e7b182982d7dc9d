//! What tensors are called, and how their rows lie.

use inkstone_models::Dimensions;

/// A tensor of a file that is a part of a folder's tensor, or the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) order: Order,
    /// How many of the folder's rows it has, of `of`.
    pub(super) share: Share,
}

/// Which share of the folder's rows a part has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    All,
    /// One of three equal shares.
    Third,
}

/// How rows are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// As in the folder.
    Same,
    /// In each head the two numbers that rotate together lie side by side, and not half a head apart.
    Rotary { heads: usize },
    /// All queries, all keys, all values, and not those of each head together.
    ByRole { heads: usize },
}

impl Order {
    /// For each of the folder's `n` rows the row of the file.
    pub(super) fn rows(self, n: usize) -> Vec<usize> {
        let row = |row: usize| match self {
            Self::Same => row,
            Self::Rotary { heads } => {
                let width = n / heads;
                let (head, half, pair) = (row / width, row % width / (width / 2).max(1), row % (width / 2).max(1));
                head * width + 2 * pair + half
            }
            Self::ByRole { heads } => {
                let width = n / heads / 3;
                let (head, role, number) = (row / (3 * width), row / width % 3, row % width);
                (role * heads + head) * width + number
            }
        };
        (0..n).map(row).collect()
    }

    /// Whether `n` rows can be sorted so.
    pub(super) fn fits(self, n: usize) -> bool {
        match self {
            Self::Same => true,
            Self::Rotary { heads } => heads > 0 && n.is_multiple_of(2 * heads),
            Self::ByRole { heads } => heads > 0 && n.is_multiple_of(3 * heads),
        }
    }
}

/// How a tensor's rows are sorted in files, before the number of heads is known.
#[derive(Debug, Clone, Copy)]
enum Sorted {
    Same,
    RotaryQueries,
    RotaryKeys,
    ByRole,
}

use Sorted::{ByRole, RotaryKeys, RotaryQueries, Same};

/// A folder's name without `.weight` or `.bias`, the file's, the order of the rows. `{}` is the number of a block.
type Entry = (&'static str, &'static str, Sorted);

/// An architecture of GGUF.
#[derive(Debug)]
pub(super) struct Names {
    /// `general.architecture`.
    pub(super) architecture: &'static str,
    /// Values of `model_type`.
    pub(super) model_types: &'static [&'static str],
    /// Whether folders hold the weights of blocks as `[inputs, outputs]`.
    transposed: bool,
    /// Whether files, too, have the two numbers that rotate together half a head apart.
    halved: bool,
    entries: &'static [Entry],
}

const LLAMA: &[Entry] = &[
    ("model.embed_tokens", "token_embd", Same),
    ("model.layers.{}.input_layernorm", "blk.{}.attn_norm", Same),
    ("model.layers.{}.self_attn.q_proj", "blk.{}.attn_q", RotaryQueries),
    ("model.layers.{}.self_attn.k_proj", "blk.{}.attn_k", RotaryKeys),
    ("model.layers.{}.self_attn.v_proj", "blk.{}.attn_v", Same),
    ("model.layers.{}.self_attn.o_proj", "blk.{}.attn_output", Same),
    ("model.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm", Same),
    ("model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate", Same),
    ("model.layers.{}.mlp.up_proj", "blk.{}.ffn_up", Same),
    ("model.layers.{}.mlp.down_proj", "blk.{}.ffn_down", Same),
    ("model.norm", "output_norm", Same),
    ("lm_head", "output", Same),
];

const BAICHUAN: &[Entry] = &[
    ("model.embed_tokens", "token_embd", Same),
    ("model.layers.{}.input_layernorm", "blk.{}.attn_norm", Same),
    ("model.layers.{}.self_attn.W_pack", "blk.{}.attn_q", RotaryQueries),
    ("model.layers.{}.self_attn.W_pack", "blk.{}.attn_k", RotaryQueries),
    ("model.layers.{}.self_attn.W_pack", "blk.{}.attn_v", Same),
    ("model.layers.{}.self_attn.o_proj", "blk.{}.attn_output", Same),
    ("model.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm", Same),
    ("model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate", Same),
    ("model.layers.{}.mlp.up_proj", "blk.{}.ffn_up", Same),
    ("model.layers.{}.mlp.down_proj", "blk.{}.ffn_down", Same),
    ("model.norm", "output_norm", Same),
    ("lm_head", "output", Same),
];

const GPT2: &[Entry] = &[
    ("transformer.wte", "token_embd", Same),
    ("transformer.wpe", "position_embd", Same),
    ("transformer.h.{}.ln_1", "blk.{}.attn_norm", Same),
    ("transformer.h.{}.attn.c_attn", "blk.{}.attn_qkv", Same),
    ("transformer.h.{}.attn.c_proj", "blk.{}.attn_output", Same),
    ("transformer.h.{}.ln_2", "blk.{}.ffn_norm", Same),
    ("transformer.h.{}.mlp.c_fc", "blk.{}.ffn_up", Same),
    ("transformer.h.{}.mlp.c_proj", "blk.{}.ffn_down", Same),
    ("transformer.ln_f", "output_norm", Same),
    ("lm_head", "output", Same),
];

const BLOOM: &[Entry] = &[
    ("transformer.word_embeddings", "token_embd", Same),
    ("transformer.word_embeddings_layernorm", "token_embd_norm", Same),
    ("transformer.h.{}.input_layernorm", "blk.{}.attn_norm", Same),
    ("transformer.h.{}.self_attention.query_key_value", "blk.{}.attn_qkv", ByRole),
    ("transformer.h.{}.self_attention.dense", "blk.{}.attn_output", Same),
    ("transformer.h.{}.post_attention_layernorm", "blk.{}.ffn_norm", Same),
    ("transformer.h.{}.mlp.dense_h_to_4h", "blk.{}.ffn_up", Same),
    ("transformer.h.{}.mlp.dense_4h_to_h", "blk.{}.ffn_down", Same),
    ("transformer.ln_f", "output_norm", Same),
    ("lm_head", "output", Same),
];

const T5: &[Entry] = &[
    ("shared", "token_embd", Same),
    ("encoder.block.{}.layer.0.SelfAttention.q", "enc.blk.{}.attn_q", Same),
    ("encoder.block.{}.layer.0.SelfAttention.k", "enc.blk.{}.attn_k", Same),
    ("encoder.block.{}.layer.0.SelfAttention.v", "enc.blk.{}.attn_v", Same),
    ("encoder.block.{}.layer.0.SelfAttention.o", "enc.blk.{}.attn_o", Same),
    ("encoder.block.{}.layer.0.SelfAttention.relative_attention_bias", "enc.blk.{}.attn_rel_b", Same),
    ("encoder.block.{}.layer.0.layer_norm", "enc.blk.{}.attn_norm", Same),
    ("encoder.block.{}.layer.1.DenseReluDense.wi", "enc.blk.{}.ffn_up", Same),
    ("encoder.block.{}.layer.1.DenseReluDense.wi_0", "enc.blk.{}.ffn_gate", Same),
    ("encoder.block.{}.layer.1.DenseReluDense.wi_1", "enc.blk.{}.ffn_up", Same),
    ("encoder.block.{}.layer.1.DenseReluDense.wo", "enc.blk.{}.ffn_down", Same),
    ("encoder.block.{}.layer.1.layer_norm", "enc.blk.{}.ffn_norm", Same),
    ("encoder.final_layer_norm", "enc.output_norm", Same),
    ("decoder.block.{}.layer.0.SelfAttention.q", "dec.blk.{}.attn_q", Same),
    ("decoder.block.{}.layer.0.SelfAttention.k", "dec.blk.{}.attn_k", Same),
    ("decoder.block.{}.layer.0.SelfAttention.v", "dec.blk.{}.attn_v", Same),
    ("decoder.block.{}.layer.0.SelfAttention.o", "dec.blk.{}.attn_o", Same),
    ("decoder.block.{}.layer.0.SelfAttention.relative_attention_bias", "dec.blk.{}.attn_rel_b", Same),
    ("decoder.block.{}.layer.0.layer_norm", "dec.blk.{}.attn_norm", Same),
    ("decoder.block.{}.layer.1.EncDecAttention.q", "dec.blk.{}.cross_attn_q", Same),
    ("decoder.block.{}.layer.1.EncDecAttention.k", "dec.blk.{}.cross_attn_k", Same),
    ("decoder.block.{}.layer.1.EncDecAttention.v", "dec.blk.{}.cross_attn_v", Same),
    ("decoder.block.{}.layer.1.EncDecAttention.o", "dec.blk.{}.cross_attn_o", Same),
    ("decoder.block.{}.layer.1.layer_norm", "dec.blk.{}.cross_attn_norm", Same),
    ("decoder.block.{}.layer.2.DenseReluDense.wi", "dec.blk.{}.ffn_up", Same),
    ("decoder.block.{}.layer.2.DenseReluDense.wi_0", "dec.blk.{}.ffn_gate", Same),
    ("decoder.block.{}.layer.2.DenseReluDense.wi_1", "dec.blk.{}.ffn_up", Same),
    ("decoder.block.{}.layer.2.DenseReluDense.wo", "dec.blk.{}.ffn_down", Same),
    ("decoder.block.{}.layer.2.layer_norm", "dec.blk.{}.ffn_norm", Same),
    ("decoder.final_layer_norm", "dec.output_norm", Same),
    ("lm_head", "output", Same),
];

/// All of them.
pub(super) const ARCHITECTURES: &[Names] = &[
    Names {
        architecture: "llama",
        model_types: &["llama", "mistral"],
        transposed: false,
        halved: false,
        entries: LLAMA,
    },
    Names { architecture: "qwen2", model_types: &["qwen2"], transposed: false, halved: true, entries: LLAMA },
    Names { architecture: "baichuan", model_types: &["baichuan"], transposed: false, halved: false, entries: BAICHUAN },
    Names { architecture: "gpt2", model_types: &["gpt2"], transposed: true, halved: false, entries: GPT2 },
    Names { architecture: "t5", model_types: &["t5"], transposed: false, halved: false, entries: T5 },
    Names { architecture: "bloom", model_types: &["bloom"], transposed: false, halved: false, entries: BLOOM },
];

impl Names {
    pub(super) fn of_architecture(name: &str) -> Option<&'static Self> {
        ARCHITECTURES.iter().find(|names| names.architecture == name)
    }

    pub(super) fn of_model_type(name: &str) -> Option<&'static Self> {
        ARCHITECTURES.iter().find(|names| names.model_types.contains(&name))
    }

    pub(super) fn known() -> Vec<&'static str> {
        ARCHITECTURES.iter().map(|names| names.architecture).collect()
    }

    /// Where a file has the folder's tensor `name`; nothing if nowhere.
    pub(super) fn parts(&self, name: &str, sizes: &Dimensions) -> Vec<Part> {
        let Some((stem, suffix)) = name.rsplit_once('.') else { return Vec::new() };
        let number = stem.split('.').find(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        let pattern = match number {
            Some(number) => stem.replacen(&format!(".{number}."), ".{}.", 1),
            None => stem.to_owned(),
        };
        let found: Vec<&Entry> = self.entries.iter().filter(|(folder, ..)| *folder == pattern).collect();
        let share = if found.len() == 3 { Share::Third } else { Share::All };
        let part = |(_, file, sorted): &&Entry| {
            let order = match sorted {
                Same => Order::Same,
                RotaryQueries | RotaryKeys if self.halved => Order::Same,
                RotaryQueries => Order::Rotary { heads: sizes.heads },
                RotaryKeys => Order::Rotary { heads: sizes.key_heads },
                ByRole => Order::ByRole { heads: sizes.heads },
            };
            Part { name: format!("{}.{suffix}", file.replacen("{}", number.unwrap_or(""), 1)), order, share }
        };
        found.iter().map(part).collect()
    }

    /// Whether the folder holds the tensor `name` as `[inputs, outputs]`.
    pub(super) fn is_transposed(&self, name: &str) -> bool {
        let product = ["c_attn.weight", "c_proj.weight", "c_fc.weight"].iter().any(|end| name.ends_with(end));
        self.transposed && product
    }
}

#[cfg(test)]
mod tests {
    use super::{Names, Order};

    #[test]
    fn orders_are_permutations_and_rotary_pairs_meet() {
        for order in [Order::Same, Order::Rotary { heads: 3 }, Order::ByRole { heads: 2 }] {
            let mut rows = order.rows(24);
            if let Order::Rotary { .. } = order {
                // Width 8: numbers 0 and 4 of a head rotate together.
                assert_eq!((rows[0], rows[4], rows[8], rows[12]), (0, 1, 8, 9));
            }
            rows.sort_unstable();
            assert_eq!(rows, (0..24).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_fused_projection_has_three_parts() {
        let sizes = inkstone_models::Dimensions {
            vocabulary: 8,
            positions: 8,
            width: 8,
            layers: 1,
            heads: 2,
            key_heads: 2,
            head_width: 4,
            feed_forward: 8,
        };
        let names = Names::of_model_type("baichuan").expect("a known type");
        let parts = names.parts("model.layers.12.self_attn.W_pack.weight", &sizes);
        let found: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(found, ["blk.12.attn_q.weight", "blk.12.attn_k.weight", "blk.12.attn_v.weight"]);
        assert!(names.parts("model.layers.12.other.weight", &sizes).is_empty());
    }
}
