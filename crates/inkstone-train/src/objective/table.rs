//! `objective = { kind = "…" }` of a `pretrain` stage, and what the tokenizer must have for it.

use inkstone_models::{Kind, Model};
use inkstone_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

use super::infilling::{Blanks, Infilling};
use super::masked::{Marks, Masked, MaskedTable};
use super::mixture::{Denoiser, Mixture, default_mixture};
use super::noised::Noise;
use super::pairs::{Corrupt, Form, Pairing};
use super::prefix::Prefix;
use super::span::{SpanCorruption, Spans};
use super::words::Words;
use crate::TrainError;

/// What a model is trained to do from nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ObjectiveTable {
    /// Every token from those before it. For decoders.
    #[default]
    NextToken,
    /// Hidden tokens from both sides. For encoders.
    Masked(MaskedTable),
    /// Spans that were taken out. For encoder-decoders, and decoders, which see the rest as a prefix.
    SpanCorruption(Spans),
    /// What stands behind a cut. For both.
    Prefix {},
    /// Short spans, long ones and prefixes. For both.
    Mixture {
        /// Its parts. Default: those of UL2.
        #[serde(default = "default_mixture")]
        of: Vec<Denoiser>,
    },
    /// Spans that were taken out, said behind the text. For decoders.
    Infilling {
        /// `short`, `long` or `both`. Default `short`.
        #[serde(default)]
        blanks: Blanks,
    },
}

pub(super) fn fifteen_percent() -> f64 {
    0.15
}

pub(super) fn three() -> f64 {
    3.0
}

/// Most words of a run.
const MAX_NGRAM: usize = 64;

impl ObjectiveTable {
    /// Whether it is the objective of a stage that names none.
    pub fn is_default(&self) -> bool {
        *self == Self::NextToken
    }

    /// What is wrong with the settings for a model of this kind, if anything.
    pub fn validate(&self, kind: Kind) -> Result<(), String> {
        let (does, fits) = match self {
            Self::NextToken => ("does not predict the next token", kind == Kind::Decoder),
            Self::Masked(_) => ("does not restore masked tokens", kind == Kind::Encoder),
            Self::Infilling { .. } => ("does not fill blanks", kind == Kind::Decoder),
            _ => ("does not read one text and say another", kind != Kind::Encoder),
        };
        if !fits {
            let expected = match self {
                Self::Masked(_) => "an encoder",
                Self::NextToken | Self::Infilling { .. } => "a decoder",
                _ => "an encoder-decoder or a decoder",
            };
            return Err(format!("`model` {does}, expected the architecture of {expected}"));
        }
        match self {
            Self::Masked(table) if !(1..=MAX_NGRAM).contains(&table.ngram) => {
                Err(format!("`objective.ngram` is {}, expected 1 to {MAX_NGRAM}", table.ngram))
            }
            Self::Masked(table) => rate(table.rate),
            Self::SpanCorruption(spans) => rate(spans.rate).and_then(|()| mean(spans.mean)),
            Self::Mixture { of } if of.is_empty() => Err("`objective.of` is empty".into()),
            Self::Mixture { of } => {
                of.iter().try_for_each(|part| part.rate.map_or(Ok(()), rate).and_then(|()| mean(part.mean)))
            }
            _ => Ok(()),
        }
    }

    /// What is taken out of a text for `model`; nothing for [`Self::NextToken`].
    pub(crate) fn noise<'a>(
        &'a self,
        model: &Model,
        tokenizer: &Tokenizer,
    ) -> Result<Option<Box<dyn Noise + 'a>>, TrainError> {
        let pad = tokenizer.pad().unwrap_or(0);
        let corrupt: Box<dyn Corrupt> = match self {
            Self::NextToken => return Ok(None),
            Self::Masked(table) => {
                let marks = marks(tokenizer)?;
                return Ok(Some(Box::new(Masked { table, words: Words::new(tokenizer, table.whole_words), marks })));
            }
            Self::Infilling { blanks } => {
                let (mask, end) = (mask(tokenizer)?, end_of(tokenizer)?);
                let start = token(tokenizer, &["<|startofpiece|>", "<sop>"]).or(tokenizer.bos()).unwrap_or(end);
                return Ok(Some(Box::new(Infilling { blanks: *blanks, mask, start, end, pad })));
            }
            Self::SpanCorruption(spans) => Box::new(span_corruption(spans.clone(), tokenizer)?),
            Self::Prefix {} => Box::new(Prefix),
            Self::Mixture { of } => Box::new(mixture(of, tokenizer)?),
        };
        Ok(Some(Box::new(Pairing { corrupt, form: form_of(model), pad })))
    }
}

/// How `model` takes a source and a target.
pub(crate) fn form_of(model: &Model) -> Form {
    match model.kind() {
        Kind::EncoderDecoder => Form::EncoderDecoder { start: model.start_token() },
        Kind::Decoder | Kind::Encoder => Form::Decoder,
    }
}

fn mixture(of: &[Denoiser], tokenizer: &Tokenizer) -> Result<Mixture, TrainError> {
    let part = |part: &Denoiser| {
        let corrupt: Box<dyn Corrupt> = match part.rate {
            Some(rate) => Box::new(span_corruption(Spans { rate, mean: part.mean }, tokenizer)?),
            None => Box::new(Prefix),
        };
        let named = |name: &String| tokenizer.token_id(name).ok_or_else(|| lacks(name));
        Ok((corrupt, part.token.as_ref().map(named).transpose()?))
    };
    Ok(Mixture { of: of.iter().map(part).collect::<Result<_, TrainError>>()? })
}

fn span_corruption(spans: Spans, tokenizer: &Tokenizer) -> Result<SpanCorruption, TrainError> {
    let sentinels: Vec<u32> = (0..).map_while(|n| tokenizer.token_id(&format!("<extra_id_{n}>"))).collect();
    if sentinels.is_empty() {
        return Err(lacks("<extra_id_0>"));
    }
    Ok(SpanCorruption { spans, sentinels, eos: end_of(tokenizer)? })
}

/// The special tokens of an encoder.
pub(crate) fn marks(tokenizer: &Tokenizer) -> Result<Marks, TrainError> {
    let (mask, framed) = (mask(tokenizer)?, framing(tokenizer)?);
    Ok(Marks { mask, ..framed })
}

/// [`marks`] of a task that hides nothing.
pub(crate) fn framing(tokenizer: &Tokenizer) -> Result<Marks, TrainError> {
    let end = end_of(tokenizer)?;
    let cls = token(tokenizer, &["[CLS]", "<s>"]).or(tokenizer.bos()).unwrap_or(end);
    let sep = token(tokenizer, &["[SEP]", "</s>"]).unwrap_or(end);
    let pad = tokenizer.pad().unwrap_or(0);
    Ok(Marks { mask: pad, cls, sep, pad, vocabulary: tokenizer.vocab_size() })
}

fn mask(tokenizer: &Tokenizer) -> Result<u32, TrainError> {
    token(tokenizer, &["[MASK]", "<mask>"]).ok_or_else(|| lacks("[MASK]"))
}

fn end_of(tokenizer: &Tokenizer) -> Result<u32, TrainError> {
    tokenizer.eos().or(token(tokenizer, &["[SEP]", "</s>"])).ok_or_else(|| lacks("</s>"))
}

fn token(tokenizer: &Tokenizer, names: &[&str]) -> Option<u32> {
    names.iter().find_map(|name| tokenizer.token_id(name))
}

fn lacks(token: &str) -> TrainError {
    TrainError::NoSpecialToken { token: token.to_owned() }
}

fn rate(rate: f64) -> Result<(), String> {
    let good = rate > 0.0 && rate < 1.0;
    if good { Ok(()) } else { Err(format!("`objective.rate` is {rate}, expected a number between 0 and 1")) }
}

fn mean(mean: f64) -> Result<(), String> {
    let good = (1.0..1e6).contains(&mean);
    if good { Ok(()) } else { Err(format!("`objective.mean` is {mean}, expected 1 or more")) }
}
