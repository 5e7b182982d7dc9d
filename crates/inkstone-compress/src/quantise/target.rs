//! What type each tensor of a file gets.

use inkstone_formats::gguf::GgmlType;
use inkstone_nn::BlockFormat;

/// The type of a file's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// Blocks, one of [`BlockFormat::WRITTEN`].
    Blocks(BlockFormat),
}

impl Target {
    /// The names that [`Self::from_name`] knows.
    pub fn names() -> Vec<&'static str> {
        let blocks = BlockFormat::WRITTEN.iter().map(|format| format.name());
        ["f32", "f16", "bf16"].into_iter().chain(blocks).collect()
    }

    /// The target of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "f32" => Some(Self::F32),
            "f16" => Some(Self::F16),
            "bf16" => Some(Self::Bf16),
            _ => BlockFormat::from_name(name).filter(|format| BlockFormat::WRITTEN.contains(format)).map(Self::Blocks),
        }
    }

    /// The type of the tensor that the file calls `name`, of `shape`. Vectors and tables of positions stay as they are. The head, whose errors
    /// nothing makes good, gets six bits where the others get four or five in groups of blocks, as llama.cpp does. Rows that don't fill blocks
    /// of 256 get eight bits in blocks of 32, and rows that don't fill those half precision.
    pub(crate) fn kind_of(self, name: &str, shape: &[usize], tied: bool) -> GgmlType {
        let [_, width] = *shape else { return GgmlType::F32 };
        if name.starts_with("position_embd") || name.starts_with("token_types") {
            return GgmlType::F32;
        }
        let Self::Blocks(format) = self else {
            return match self {
                Self::F16 => GgmlType::F16,
                Self::Bf16 => GgmlType::BF16,
                _ => GgmlType::F32,
            };
        };
        let head = name == "output.weight" || (tied && name == "token_embd.weight");
        let format = match format {
            BlockFormat::Q4_K | BlockFormat::Q5_K if head => BlockFormat::Q6_K,
            format => format,
        };
        let choices = [format, BlockFormat::Q8_0];
        let fitting = choices.into_iter().find(|format| width.is_multiple_of(format.elements()));
        fitting.and_then(|format| GgmlType::from_name(format.name())).unwrap_or(GgmlType::F16)
    }

    /// `general.file_type`.
    pub(crate) fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Bf16 => 32,
            Self::Blocks(BlockFormat::Q4_0) => 2,
            Self::Blocks(BlockFormat::Q4_K) => 14,
            Self::Blocks(BlockFormat::Q5_K) => 16,
            Self::Blocks(BlockFormat::Q6_K) => 18,
            Self::Blocks(_) => 7,
        }
    }

    /// Numbers of 16 bits.
    pub(crate) fn half(kind: GgmlType, values: &[f32]) -> Vec<u8> {
        let bits = |x: f32| {
            if kind == GgmlType::BF16 { half::bf16::from_f32(x).to_bits() } else { half::f16::from_f32(x).to_bits() }
        };
        values.iter().flat_map(|&x| bits(x).to_le_bytes()).collect()
    }
}
