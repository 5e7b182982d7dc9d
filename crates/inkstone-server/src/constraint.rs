//! JSON schemas and grammars as constraints on tokens, by `llguidance`.

use std::sync::{Arc, OnceLock};

use inkstone_engine::Constraint;
use inkstone_tokenizer::Tokenizer;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{TokRxInfo, TokTrie, TokenId, TokenizerEnv};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use crate::error::ApiError;

/// Makes constraints over one vocabulary; what that needs is prepared when the first one is asked for.
pub(crate) struct Grammars {
    tokenizer: Arc<Tokenizer>,
    vocab_size: usize,
    factory: OnceLock<Result<ParserFactory, String>>,
}

/// What the text is to be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    /// JSON of this schema.
    Json(Value),
    /// A text of this grammar (Lark).
    Lark(String),
    /// A text that this regular expression matches.
    Regex(String),
}

impl Grammars {
    pub(crate) fn new(tokenizer: Arc<Tokenizer>, vocab_size: usize) -> Self {
        Self { tokenizer, vocab_size, factory: OnceLock::new() }
    }

    /// A constraint to texts of this shape.
    ///
    /// # Errors
    /// If the schema or grammar is none, or uses what is not supported.
    pub(crate) fn constraint(&self, shape: &Shape) -> Result<Box<dyn Constraint>, ApiError> {
        let factory = self.factory.get_or_init(|| factory(&self.tokenizer, self.vocab_size));
        let factory = factory.as_ref().map_err(|reason| ApiError::internal(reason.clone()))?;
        let grammar = match shape {
            Shape::Json(schema) => TopLevelGrammar::from_json_schema(plainly_spaced(schema.clone())),
            Shape::Lark(grammar) => TopLevelGrammar::from_lark(grammar.clone()),
            Shape::Regex(regex) => TopLevelGrammar::from_regex(regex),
        };
        let parser =
            factory.create_parser(grammar).map_err(|error| ApiError::bad(format!("schema or grammar: {error}")))?;
        Ok(Box::new(Guided(Matcher::new(Ok(parser)))))
    }
}

/// The schema, for JSON with a space after each colon and comma and no other ones: a model that is free to may write spaces
/// without end.
pub(crate) fn plainly_spaced(mut schema: Value) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        let how = json!({ "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": " });
        fields.insert("x-guidance".into(), how);
    }
    schema
}

fn factory(tokenizer: &Arc<Tokenizer>, vocab_size: usize) -> Result<ParserFactory, String> {
    let end = tokenizer.stop_ids().first().copied().or(tokenizer.eos()).unwrap_or(0);
    let bytes = |id: u32| match tokenizer.token_bytes(id) {
        // The library tells special tokens by the first byte.
        Some(bytes) if tokenizer.is_special(id) => [&[TokTrie::SPECIAL_TOKEN_MARKER], &bytes[..]].concat(),
        Some(bytes) => bytes,
        None => Vec::new(),
    };
    let words: Vec<Vec<u8>> = (0..vocab_size as u32).map(bytes).collect();
    let trie = TokTrie::from(&TokRxInfo::new(vocab_size as u32, end), &words);
    let environment = Arc::new(Vocabulary { trie, tokenizer: Arc::clone(tokenizer) });
    ParserFactory::new_simple(&(environment as _)).map_err(|error| error.to_string())
}

/// A vocabulary as the library wants it.
struct Vocabulary {
    trie: TokTrie,
    tokenizer: Arc<Tokenizer>,
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let encode =
            |text: &str| self.tokenizer.encode(text).unwrap_or_else(|_| self.trie.greedy_tokenize(text.as_bytes()));
        std::str::from_utf8(bytes).map_or_else(|_| self.trie.greedy_tokenize(bytes), encode)
    }
}

/// A text under way.
struct Guided(Matcher);

impl Constraint for Guided {
    fn mask(&mut self, logits: &mut [f32]) -> Result<(), String> {
        let allowed = self.0.compute_mask_or_eos().map_err(|error| error.to_string())?;
        for (id, logit) in logits.iter_mut().enumerate() {
            if !allowed.is_allowed(id as u32) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    fn accept(&mut self, id: u32) -> Result<bool, String> {
        self.0.consume_token(id).map_err(|error| error.to_string())?;
        Ok(self.0.is_stopped())
    }
}
