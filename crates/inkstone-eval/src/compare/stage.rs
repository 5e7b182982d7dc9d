//! The stage: reads documents, lets every model judge them, tunes and tries mixtures.

use std::collections::BTreeMap;
use std::time::Instant;

use inkstone_corpus::Split;
use inkstone_corpus::shards::TokenShard;
use inkstone_recipe::{Context, Estimate, Forecast, ImplicitStage, Input, Machine, Metrics, Stage, StageError, fs};
use inkstone_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::judge::Judge;
use super::mixture::{mix, tune};
use crate::EvalError;

/// The file of the results.
pub const COMPARISON_FILE: &str = "comparison.json";

/// The `compare` table of a recipe.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompareConfig {
    /// The `corpus` stage whose held-out part is read.
    pub corpus: String,
    /// The `tokenizer` stage that all models were made with.
    pub tokenizer: String,
    /// The stages of the models: of kind `ngram`, `feed_forward`, `recurrent`, or a transformer's. 16 at most.
    pub models: Vec<String>,
    /// Sets of those models that are interpolated. Default: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixtures: Option<Vec<Vec<String>>>,
    /// Held-out tokens that are read at most, in whole documents; 100,000. Weights of mixtures are tuned on every other
    /// document, figures are those of the rest.
    #[serde(default = "hundred_thousand")]
    pub tokens: u64,
}

fn hundred_thousand() -> u64 {
    100_000
}

impl CompareConfig {
    fn mixtures(&self) -> Vec<Vec<String>> {
        self.mixtures.clone().unwrap_or_else(|| vec![self.models.clone()])
    }

    fn place(&self, model: &str) -> Option<usize> {
        self.models.iter().position(|known| known == model)
    }
}

/// The names under which the models are inputs.
const FIELDS: [&str; 16] = [
    "model 1", "model 2", "model 3", "model 4", "model 5", "model 6", "model 7", "model 8", "model 9", "model 10",
    "model 11", "model 12", "model 13", "model 14", "model 15", "model 16",
];

/// Kinds of stages whose models can be compared.
const KINDS: &[&str] = &["ngram", "feed_forward", "recurrent", "pretrain", "sft", "preference", "policy"];

/// The `compare` stage.
#[derive(Debug, Clone, Copy)]
pub struct CompareStage;

impl Stage for CompareStage {
    type Config = CompareConfig;
    const KIND: &'static str = "compare";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "compares models on the same held-out tokens, alone and interpolated";

    fn validate(config: &CompareConfig) -> Result<(), String> {
        if config.models.is_empty() || config.models.len() > FIELDS.len() {
            return Err(format!("`models` has {}, it must have 1 to {}", config.models.len(), FIELDS.len()));
        }
        for mixture in config.mixtures() {
            let known = mixture.iter().all(|model| config.place(model).is_some());
            if mixture.is_empty() || !known {
                return Err(format!("`mixtures` has {mixture:?}, it must have names out of `models`"));
            }
        }
        Ok(())
    }

    fn inputs(config: &CompareConfig) -> Vec<Input> {
        let tokenizers = inkstone_tokenizer::stages::TOKENIZERS;
        let mut inputs = vec![
            Input { field: "tokens", stage: ".tokens".into(), kinds: &["tokens"] },
            Input { field: "tokenizer", stage: config.tokenizer.clone(), kinds: tokenizers },
        ];
        let model = |(field, stage): (&&'static str, &String)| Input { field, stage: stage.clone(), kinds: KINDS };
        inputs.extend(FIELDS.iter().zip(&config.models).map(model));
        inputs
    }

    fn implicit(config: &CompareConfig) -> Vec<ImplicitStage> {
        let tokens = json!({"corpus": config.corpus, "tokenizer": config.tokenizer, "append_eos": true});
        vec![ImplicitStage { suffix: "tokens", kind: "tokens", config: tokens }]
    }

    fn estimate(config: &CompareConfig, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate {
        let metric = |field: &str, name: &str| inputs.get(field)?.metrics.get(name).copied();
        let tokens = metric("tokens", "validation_tokens").unwrap_or(1e5).min(config.tokens as f64);
        let parameters: f64 = FIELDS.iter().filter_map(|field| metric(field, "parameters")).sum();
        let seconds = tokens * parameters * 2.0 / (0.1 * machine.flops_per_second.max(1e9));
        // Without any known size nothing is foreseen.
        let seconds = (parameters > 0.0).then_some(seconds);
        Estimate { tokens: Some(tokens as u64), seconds, ..Estimate::default() }
    }

    fn run(config: &CompareConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        Ok(compare(config, context)?)
    }
}

/// Held-out documents, each with the bytes of what is predicted.
struct Documents(Vec<(Vec<u32>, u64)>);

fn compare(config: &CompareConfig, context: &Context<'_>) -> Result<Metrics, EvalError> {
    let tokenizer = Tokenizer::load(&context.input("tokenizer").folder)?;
    let documents = Documents::read(config, &tokenizer, context)?;
    let (mut metrics, mut rows, mut all) = (Metrics::new(), Vec::new(), Vec::new());
    for (name, field) in config.models.iter().zip(FIELDS) {
        let judge = Judge::open(name, &context.input(field).folder, &tokenizer)?;
        let started = Instant::now();
        let losses = documents.judged(&judge, name, context)?;
        let seconds = started.elapsed().as_secs_f64();
        let figures = documents.figures(&losses);
        metrics.insert(format!("{name} tokens_per_second"), json!(documents.predicted() as f64 / seconds.max(1e-9)));
        metrics.insert(format!("{name} bits_per_byte"), json!(figures.bits_per_byte));
        rows.push(json!({"name": name, "kind": context.input(field).manifest.kind, "figures": figures}));
        all.push(losses);
    }
    let mixtures: Vec<_> = config
        .mixtures()
        .iter()
        .map(|names| {
            let of = |name: &String| config.place(name).map(|place| all[place].clone());
            let (weights, figures) = documents.mixed(&names.iter().filter_map(of).collect::<Vec<_>>());
            json!({"models": names, "weights": weights, "figures": figures})
        })
        .collect();
    let lowest = rows.iter().chain(&mixtures).filter_map(|row| row["figures"]["bits_per_byte"].as_f64());
    metrics.extend(lowest.min_by(f64::total_cmp).map(|lowest| ("bits_per_byte".to_owned(), json!(lowest))));
    let comparison = json!({"models": rows, "mixtures": mixtures});
    let text = serde_json::to_string_pretty(&comparison).expect("invariant: plain data") + "\n";
    let path = context.out().join(COMPARISON_FILE);
    fs::write_atomic(&path, text.as_bytes()).map_err(inkstone_classic::ClassicError::from)?;
    Ok(metrics)
}

/// How well the documents that nothing was tuned on are predicted.
#[derive(Debug, Clone, Copy, Serialize)]
struct Figures {
    /// Mean nats per token.
    loss: f64,
    perplexity: f64,
    bits_per_byte: f64,
    /// The ends of its 95 % interval over documents.
    bits_per_byte_low: f64,
    bits_per_byte_high: f64,
    tokens: u64,
    bytes: u64,
}

impl Documents {
    fn read(config: &CompareConfig, tokenizer: &Tokenizer, context: &Context<'_>) -> Result<Self, EvalError> {
        let folder = &context.input("tokens").folder;
        let shard = TokenShard::open(folder, Split::Validation)?;
        shard.check()?;
        let (mut documents, mut taken) = (Vec::new(), 0);
        for number in 0..shard.n_documents() {
            let ids: Vec<u32> = shard.tokens(shard.document(number).range).collect();
            if ids.len() < 3 || taken + ids.len() as u64 > config.tokens {
                continue;
            }
            taken += ids.len() as u64;
            let bytes =
                tokenizer.decode(&ids[..ids.len() - 1])?.len().saturating_sub(tokenizer.decode(&ids[..1])?.len());
            documents.push((ids, bytes as u64));
        }
        if documents.len() < 2 {
            let what = "has fewer than two held-out documents of two tokens or more";
            return Err(EvalError::Empty { path: folder.clone(), what });
        }
        Ok(Self(documents))
    }

    /// Tokens that are predicted: all but the first of each document.
    fn predicted(&self) -> usize {
        self.0.iter().map(|(ids, _)| ids.len() - 1).sum()
    }

    /// The loss of each of them by one model.
    fn judged(&self, judge: &Judge, name: &str, context: &Context<'_>) -> Result<Vec<f32>, EvalError> {
        let bar = context.progress.task(name, Some(self.predicted() as u64), "tokens");
        let mut losses = Vec::with_capacity(self.predicted());
        for (ids, _) in &self.0 {
            if context.interrupt.requested() {
                return Err(EvalError::Interrupted);
            }
            losses.extend(judge.losses(ids, context.interrupt)?);
            bar.set(losses.len() as u64);
        }
        Ok(losses)
    }

    /// For each document whether it is for tuning, where its losses are, and its bytes.
    fn places(&self) -> impl Iterator<Item = (bool, std::ops::Range<usize>, u64)> {
        let mut end = 0;
        self.0.iter().enumerate().map(move |(n, (ids, bytes))| {
            let start = end;
            end += ids.len() - 1;
            (n % 2 == 0, start..end, *bytes)
        })
    }

    /// Weights tuned on one half of the documents, and figures of the other half.
    fn mixed(&self, losses: &[Vec<f32>]) -> (Vec<f64>, Figures) {
        let tuning = |losses: &Vec<f32>| {
            let places = self.places().filter(|(tuning, ..)| *tuning);
            places.flat_map(|(_, place, _)| losses[place].to_vec()).collect::<Vec<f32>>()
        };
        let weights = tune(&losses.iter().map(tuning).collect::<Vec<_>>());
        let figures = self.figures(&mix(losses, &weights));
        (weights, figures)
    }

    fn figures(&self, losses: &[f32]) -> Figures {
        let judged: Vec<(f64, u64, u64)> = self
            .places()
            .filter(|(tuning, ..)| !tuning)
            .map(|(_, place, bytes)| {
                let nats = losses[place.clone()].iter().map(|&x| f64::from(x)).sum::<f64>();
                (nats / std::f64::consts::LN_2, place.len() as u64, bytes)
            })
            .collect();
        let bits: f64 = judged.iter().map(|(bits, ..)| bits).sum();
        let (tokens, bytes) = judged.iter().fold((0, 0), |(tokens, bytes), one| (tokens + one.1, bytes + one.2));
        let bits_per_byte = bits / bytes.max(1) as f64;
        // The spread of a ratio over documents (Cochran 1977, section 6.4).
        let squares: f64 = judged.iter().map(|(bits, _, bytes)| (bits - bits_per_byte * *bytes as f64).powi(2)).sum();
        let n = judged.len() as f64;
        let half = 1.96 * (squares * n / (n - 1.0).max(1.0)).sqrt() / bytes.max(1) as f64;
        let loss = bits * std::f64::consts::LN_2 / tokens.max(1) as f64;
        let (low, high) = (bits_per_byte - half, bits_per_byte + half);
        let perplexity = loss.exp();
        Figures { loss, perplexity, bits_per_byte, bits_per_byte_low: low, bits_per_byte_high: high, tokens, bytes }
    }
}
