//! `inkstone serve`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// A model folder, recipe/stage, or the beginning of an id (may be repeated); NAME=MODEL gives it another name
    #[arg(short, long = "model", value_name = "MODEL", required = true)]
    pub(crate) models: Vec<String>,
    /// The first model with this PEFT adapter around it, under this name; the weights are shared (may be repeated)
    #[arg(long = "adapter", value_name = "NAME=DIR")]
    pub(crate) adapters: Vec<String>,
    /// A smaller model of the same tokenizer, which guesses the first model's tokens ahead; answers do not depend on it
    #[arg(long, value_name = "MODEL")]
    pub(crate) draft_model: Option<String>,
    /// Address to listen on; beyond 127.0.0.1 a key is needed
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: IpAddr,
    /// Port to listen on (0: any)
    #[arg(long, default_value_t = 8080)]
    pub(crate) port: u16,
    /// File with one key a line, of which clients must send one
    #[arg(long, value_name = "FILE")]
    pub(crate) api_key: Option<PathBuf>,
    /// Requests a minute for each key
    #[arg(long, value_name = "N")]
    pub(crate) requests_per_minute: Option<u32>,
    /// Requests at a time for each key
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub(crate) concurrent: usize,
    /// PEM file of a certificate: serve over TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Origin whose pages may ask from a browser (may be repeated; `*`: all)
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) cors: Vec<String>,
    /// Memory for keys and values of each model, in MiB
    #[arg(long, default_value_t = 1024, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) cache_memory: u32,
    /// Precision of keys and values; only f32 gives the very tokens of `generate`
    #[arg(long, value_enum, default_value_t = CachePrecision::F32)]
    pub(crate) cache_precision: CachePrecision,
    /// Answers computed at a time
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub(crate) parallel: usize,
    /// Requests that may wait for their turn; further ones are refused
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub(crate) queue: usize,
    /// Tokens of prompts that are computed between two tokens of an answer
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub(crate) chunk: usize,
    /// Tokens that are guessed ahead where a text repeats itself (0: none)
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub(crate) draft: usize,
    /// Largest request, in MiB
    #[arg(long, default_value_t = 8, value_name = "MIB")]
    pub(crate) body_limit: usize,
    /// Longest time for an answer, in seconds
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub(crate) timeout: u64,
    /// Time to finish answers when stopped, in seconds
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    pub(crate) grace: u64,
    /// Log lines as JSON
    #[arg(long)]
    pub(crate) log_json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CachePrecision {
    F32,
    Bf16,
    Int8,
}

#[derive(Debug, Args)]
pub(crate) struct BenchServe {
    /// The server
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub(crate) url: String,
    /// The model's name there
    #[arg(short, long, default_value = "", value_name = "NAME")]
    pub(crate) model: String,
    /// A key that the server wants
    #[arg(long, env = "OPENAI_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,
    /// Answers at a time
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub(crate) streams: usize,
    /// Answers in all
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub(crate) requests: usize,
    /// Words of each prompt
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub(crate) words: usize,
    /// Words with which all prompts begin
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) shared_words: usize,
    /// Tokens of an answer
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub(crate) max_tokens: usize,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}
