//! Token shards: the tokens of a split in one flat file, memory-mapped, with the boundaries of
//! its documents.
//!
//! | file | content |
//! |---|---|
//! | `<split>.tokens` | token ids, little-endian, 16 bits where the vocabulary allows, else 32 |
//! | `<split>.index` | 24 bytes a document: where its tokens begin (u64), its id (u128), little-endian |
//! | `<split>.mask` | one byte a token, 1 where it is to be learnt; only for conversations |
//! | `tokens.json` | [`Header`]: sizes and BLAKE3 of all of these |

mod header;
mod reader;
mod writer;

pub use header::{Header, ShardSummary};
pub use reader::{TokenDocument, TokenShard};
pub use writer::{ShardOptions, ShardWriter};

/// Bytes of a document in the index.
const INDEX_ENTRY: usize = 24;

/// The name of the header's file.
pub const HEADER_FILE: &str = "tokens.json";
