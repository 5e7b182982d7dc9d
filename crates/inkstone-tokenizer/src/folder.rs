//! The folder of a tokenizer: `tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja`.
//!
//! Written as transformers 5 expects and transformers 4 accepts. Folders from elsewhere may keep the
//! chat template in `tokenizer_config.json`, name special tokens as objects, list them in
//! `special_tokens_map.json` and keep added tokens in `added_tokens_decoder`.

use std::fs::File;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use crate::chat::ChatTemplate;
use crate::error::{Result, TokenizerError};
use crate::older::read_older;
use crate::specials::Specials;
use crate::tokenizer::{Roles, Tokenizer};

const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";
const TEMPLATE: &str = "chat_template.jinja";
/// v4 only.
const SPECIALS_MAP: &str = "special_tokens_map.json";

const MAX_TOKENIZER_BYTES: u64 = 512 << 20;
const MAX_CONFIG_BYTES: u64 = 64 << 20;
const MAX_TEMPLATE_BYTES: u64 = 4 << 20;
/// A model with more rows in its embedding does not exist.
const MAX_VOCABULARY: usize = 1 << 24;

/// The keys of `tokenizer_config.json` that name special tokens, in the order in which transformers
/// adds those that the vocabulary lacks.
const NAMED: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

impl Tokenizer {
    /// Reads the tokenizer in a folder.
    ///
    /// # Errors
    /// If `tokenizer.json` and every older form are missing, or a file is damaged; the error names it.
    pub fn load(folder: &Path) -> Result<Self> {
        let mut config = read_config(folder)?;
        let (path, json) = read_tokenizer(folder, &mut config)?;
        let mut plain = parse_tokenizer(&path, &json)?;
        add_tokens(&mut plain, &config).map_err(|reason| TokenizerError::malformed(&folder.join(CONFIG), reason))?;
        let template = read_template(folder, &mut config)?;
        Self::assemble(plain, config, template).map_err(|reason| TokenizerError::malformed(&path, reason))
    }

    /// A tokenizer whose parts came otherwise than from a folder: `tokenizer.json`, `tokenizer_config.json`, the chat template. `path` is where
    /// they came from.
    ///
    /// # Errors
    /// If a part is damaged.
    pub fn from_parts(path: &Path, json: &[u8], config: Map<String, Value>, template: Option<&str>) -> Result<Self> {
        let mut plain = parse_tokenizer(path, json)?;
        add_tokens(&mut plain, &config).map_err(|reason| TokenizerError::malformed(path, reason))?;
        let template =
            template.map(|source| ChatTemplate::new(&path.display().to_string(), source, &config)).transpose()?;
        Self::assemble(plain, config, template).map_err(|reason| TokenizerError::malformed(path, reason))
    }

    /// Puts the parts together.
    pub(crate) fn assemble(
        mut plain: tokenizers::Tokenizer,
        config: Map<String, Value>,
        template: Option<ChatTemplate>,
    ) -> Result<Self, String> {
        plain.set_encode_special_tokens(true);
        let vocab_size = vocab_size(&plain)?;
        let role = |key: &str| token_name(config.get(key)).and_then(|name| plain.token_to_id(name));
        let roles =
            Roles { bos: role("bos_token"), eos: role("eos_token"), pad: role("pad_token"), unk: role("unk_token") };
        let specials = Specials::of(&plain);
        Ok(Self { plain, specials, roles, template, config, vocab_size, recognising: std::sync::OnceLock::new() })
    }

    /// Writes the tokenizer into a folder, which is made where it does not exist. Each file is
    /// written aside, synced and renamed.
    ///
    /// # Errors
    /// If writing fails; the error names the file.
    pub fn save(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(TokenizerError::io(folder))?;
        let path = folder.join(TOKENIZER);
        let json = self.plain.to_string(true).map_err(|error| TokenizerError::malformed(&path, error.to_string()))?;
        write(&path, &json)?;
        let path = folder.join(CONFIG);
        let config = serde_json::to_string_pretty(&self.config)
            .map_err(|error| TokenizerError::malformed(&path, error.to_string()))?;
        write(&path, &config)?;
        match &self.template {
            Some(template) => write(&folder.join(TEMPLATE), template.source()),
            None => Ok(()),
        }
    }
}

/// The name of a special token, which is a string or an object with `content`.
pub(crate) fn token_name(value: Option<&Value>) -> Option<&str> {
    match value? {
        Value::String(name) => Some(name),
        Value::Object(object) => object.get("content")?.as_str(),
        _ => None,
    }
}

/// `tokenizer.json`, or what an older form comes to, which may name special tokens that `config` does not.
fn read_tokenizer(folder: &Path, config: &mut Map<String, Value>) -> Result<(PathBuf, Vec<u8>)> {
    let path = folder.join(TOKENIZER);
    let missing = match read(&path, MAX_TOKENIZER_BYTES) {
        Ok(json) => return Ok((path, json)),
        Err(error @ TokenizerError::NotFound { .. }) => error,
        Err(error) => return Err(error),
    };
    let older = read_older(folder, config)?.ok_or(missing)?;
    for (key, value) in older.settings {
        config.entry(key).or_insert(value);
    }
    let json =
        serde_json::to_vec(&older.json).map_err(|error| TokenizerError::malformed(&older.path, error.to_string()))?;
    Ok((older.path, json))
}

fn parse_tokenizer(path: &Path, json: &[u8]) -> Result<tokenizers::Tokenizer> {
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(json) {
        return Err(json_error(path, &error));
    }
    // The parser was written for files that its own program made: what passes as JSON may still
    // break its assumptions.
    catch_unwind(AssertUnwindSafe(|| tokenizers::Tokenizer::from_bytes(json)))
        .map_err(|_| TokenizerError::malformed(path, "the tables contradict one another"))?
        .map_err(|error| TokenizerError::malformed(path, error.to_string()))
}

fn json_error(path: &Path, error: &serde_json::Error) -> TokenizerError {
    TokenizerError::Malformed { path: path.to_owned(), line: Some(error.line()), reason: error.to_string() }
}

/// One more than the largest id. Ids may have gaps, but not more gaps than tokens.
fn vocab_size(tokenizer: &tokenizers::Tokenizer) -> Result<usize, String> {
    let vocabulary = tokenizer.get_vocab(true);
    let largest = vocabulary.values().max().ok_or("the vocabulary is empty")?;
    let size = *largest as usize + 1;
    if size > MAX_VOCABULARY || size > 2 * vocabulary.len() + 1024 {
        let tokens = vocabulary.len();
        return Err(format!("{tokens} tokens, but one has the id {largest}"));
    }
    Ok(size)
}

/// `tokenizer_config.json` with the special tokens of `special_tokens_map.json` that it lacks. A
/// folder without either is fine.
fn read_config(folder: &Path) -> Result<Map<String, Value>> {
    let mut config = read_object(&folder.join(CONFIG))?.unwrap_or_default();
    for (key, value) in read_object(&folder.join(SPECIALS_MAP))?.unwrap_or_default() {
        if NAMED.contains(&key.as_str()) {
            config.entry(key).or_insert(value);
        }
    }
    Ok(config)
}

fn read_object(path: &Path) -> Result<Option<Map<String, Value>>> {
    match read(path, MAX_CONFIG_BYTES) {
        Err(TokenizerError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| json_error(path, &error)),
    }
}

/// Adds the tokens that the config knows and `tokenizer.json` does not, as transformers does.
fn add_tokens(tokenizer: &mut tokenizers::Tokenizer, config: &Map<String, Value>) -> Result<(), String> {
    for (id, token) in added_tokens_decoder(config)? {
        let content = token.content.clone();
        tokenizer.add_tokens([token]).map_err(|e| e.to_string())?;
        if tokenizer.token_to_id(&content) != Some(id) {
            return Err(format!("the added token `{content}` can't have the id {id}"));
        }
    }
    let named = NAMED.iter().filter_map(|key| token_name(config.get(*key)));
    let named = named.map(|name| AddedToken::from(name, true));
    let known = tokenizer.get_added_tokens_decoder();
    let is_special = |content: &str| known.values().any(|t| t.special && t.content == content);
    let missing: Vec<_> = named.filter(|token| !is_special(&token.content)).collect();
    tokenizer.add_special_tokens(missing).map(drop).map_err(|e| e.to_string())
}

/// `added_tokens_decoder` by id.
fn added_tokens_decoder(config: &Map<String, Value>) -> Result<Vec<(u32, AddedToken)>, String> {
    let Some(Value::Object(entries)) = config.get("added_tokens_decoder") else {
        return Ok(Vec::new());
    };
    let mut tokens = entries.iter().map(|(id, entry)| added_token(id, entry)).collect::<Result<Vec<_>, _>>()?;
    tokens.sort_by_key(|(id, _)| *id);
    Ok(tokens)
}

fn added_token(id: &str, entry: &Value) -> Result<(u32, AddedToken), String> {
    let wrong = || format!("`added_tokens_decoder`: entry `{id}` is not a token");
    let number = id.parse().map_err(|_| wrong())?;
    let content = token_name(Some(entry)).ok_or_else(wrong)?;
    let flag = |key: &str| entry.get(key).and_then(Value::as_bool);
    let token = AddedToken::from(content, flag("special").unwrap_or(false))
        .lstrip(flag("lstrip").unwrap_or(false))
        .rstrip(flag("rstrip").unwrap_or(false))
        .single_word(flag("single_word").unwrap_or(false));
    let normalized = flag("normalized").unwrap_or(token.normalized);
    Ok((number, token.normalized(normalized)))
}

/// The template from its own file, or from the config, from which it is taken.
fn read_template(folder: &Path, config: &mut Map<String, Value>) -> Result<Option<ChatTemplate>> {
    let inside = config.remove("chat_template");
    let path = folder.join(TEMPLATE);
    let (path, source) = match read(&path, MAX_TEMPLATE_BYTES) {
        Ok(bytes) => {
            let source = String::from_utf8(bytes).map_err(|_| TokenizerError::malformed(&path, "not UTF-8"))?;
            (path, Some(source))
        }
        Err(TokenizerError::NotFound { .. }) => {
            let source = inside.as_ref().and_then(default_template);
            (folder.join(CONFIG), source.map(str::to_owned))
        }
        Err(error) => return Err(error),
    };
    source.map(|source| ChatTemplate::new(&path.display().to_string(), &source, config)).transpose()
}

/// A template, or the one called `default` of several.
fn default_template(value: &Value) -> Option<&str> {
    match value {
        Value::String(source) => Some(source),
        Value::Array(several) => {
            several.iter().find(|entry| entry["name"] == "default").or(several.first())?["template"].as_str()
        }
        _ => None,
    }
}

/// Reads a file that is not larger than `limit`.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(TokenizerError::io(path))?;
    let bytes = file.metadata().map_err(TokenizerError::io(path))?.len();
    let mut content = Vec::new();
    file.take(limit + 1).read_to_end(&mut content).map_err(TokenizerError::io(path))?;
    if content.len() as u64 > limit {
        return Err(TokenizerError::TooLarge { path: path.to_owned(), bytes: bytes.max(limit + 1), limit });
    }
    Ok(content)
}

/// Writes a file aside, syncs it and puts it in its place.
fn write(path: &Path, text: &str) -> Result<()> {
    let aside = path.with_added_extension("partial");
    let write = || {
        let mut file = File::create(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&aside, path)
    };
    write().map_err(TokenizerError::io(path))
}
