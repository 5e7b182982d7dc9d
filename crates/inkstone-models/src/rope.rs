//! Rotary settings of a `config.json`, and the frequencies that they mean.

use std::f64::consts::PI;

use inkstone_nn::ops::RopeAngles;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ModelError;
use crate::fields::{expect, expect_word};

/// `rope_parameters`, or `rope_scaling` of transformers 4.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct RopeParameters {
    /// `default`, `linear`, `ntk`, `yarn`, `llama3` or `longrope`.
    #[serde(default, alias = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) rope_type: Option<String>,
    /// Base of the frequencies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rope_theta: Option<f64>,
    /// Share of a head that turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) partial_rotary_factor: Option<f64>,
    /// By what the context is stretched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    factor: Option<f64>,
    /// Fewer turns than this over the original context: a frequency is divided by the factor (`llama3`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    low_freq_factor: Option<f64>,
    /// More turns than this: a frequency stays (`llama3`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    high_freq_factor: Option<f64>,
    /// The context of the pre-training (`llama3`, `yarn`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original_max_position_embeddings: Option<usize>,
    /// More turns than this over the original context: a frequency stays (`yarn`; 32).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beta_fast: Option<f64>,
    /// Fewer turns than this: a frequency is divided by the factor (`yarn`; 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beta_slow: Option<f64>,
    /// By what each frequency is divided within the original context and past it (`longrope`; here they must be the same).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    short_factor: Option<Vec<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    long_factor: Option<Vec<f64>>,
    /// What queries and keys are multiplied with (`yarn`; `0.1 ln factor + 1`; `longrope`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attention_factor: Option<f64>,
    /// Whether the bounds between frequencies are rounded outwards (`yarn`; true).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    truncate: Option<bool>,
    /// Of models whose attention factor follows from two numbers, which are not implemented (`yarn`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mscale: Option<f64>,
}

impl RopeParameters {
    fn kind(&self) -> &str {
        self.rope_type.as_deref().unwrap_or("default")
    }

    /// Checks the settings of heads of which `head_dim` numbers turn.
    pub(crate) fn validate(&self, head_dim: usize) -> Result<(), ModelError> {
        expect_word("rope_type", self.kind(), &["default", "linear", "ntk", "yarn", "llama3", "longrope"])?;
        let positive = |field, value: Option<f64>| {
            let right = value.is_some_and(|value| value > 0.0 && value.is_finite());
            let got = value.map_or_else(|| "missing".to_owned(), |value| value.to_string());
            expect(right, field, got, || "a number above 0".into())
        };
        positive("rope_theta", self.rope_theta.or(Some(10_000.0)))?;
        if !matches!(self.kind(), "default" | "longrope") {
            positive("factor", self.factor)?;
        }
        if self.kind() == "longrope" {
            positive("attention_factor", self.attention_factor)?;
            let factors = self.long_factor.as_deref().unwrap_or_default();
            let whole = factors.len() == head_dim / 2;
            expect(whole, "long_factor", factors.len(), || format!("{} numbers", head_dim / 2))?;
            factors.iter().try_for_each(|&factor| positive("long_factor", Some(factor)))?;
            let one = self.short_factor == self.long_factor;
            expect(one, "short_factor", "others", || "those of long_factor".into())?;
        }
        if self.kind() == "yarn" {
            positive("original_max_position_embeddings", self.original_max_position_embeddings.map(|n| n as f64))?;
            positive("beta_fast", self.beta_fast.or(Some(32.0)))?;
            positive("beta_slow", self.beta_slow.or(Some(1.0)))?;
            positive("attention_factor", self.attention_factor.or(Some(1.0)))?;
            expect(self.mscale.is_none(), "mscale", self.mscale.unwrap_or_default(), || "nothing".into())?;
        }
        if self.kind() == "llama3" {
            positive("low_freq_factor", self.low_freq_factor)?;
            positive("high_freq_factor", self.high_freq_factor)?;
            positive("original_max_position_embeddings", self.original_max_position_embeddings.map(|n| n as f64))?;
        }
        Ok(())
    }

    /// The angle from one position to the next, for each pair of a head.
    pub(crate) fn frequencies(&self, head_dim: usize) -> Vec<f32> {
        let theta = self.rope_theta.unwrap_or(10_000.0);
        let frequencies = RopeAngles::frequencies(head_dim, theta);
        let factor = self.factor.unwrap_or(1.0) as f32;
        match self.kind() {
            // A larger base, so that the slowest pair turns as if positions were divided by the factor and the fastest as ever (arXiv:2309.00071,
            // section 3.1).
            "ntk" => {
                let power = head_dim as f64 / (head_dim as f64 - 2.0).max(1.0);
                RopeAngles::frequencies(head_dim, theta * f64::from(factor).powf(power))
            }
            "yarn" => self.by_parts(&frequencies, theta),
            // arXiv:2306.15595, section 2.3
            "linear" => frequencies.into_iter().map(|frequency| frequency / factor).collect(),
            "llama3" => frequencies.into_iter().map(|frequency| self.stretched(frequency)).collect(),
            // arXiv:2402.13753, section 3
            "longrope" => {
                let factors = self.long_factor.iter().flatten();
                frequencies.into_iter().zip(factors).map(|(frequency, &factor)| frequency / factor as f32).collect()
            }
            _ => frequencies,
        }
    }

    /// What scores are multiplied with because both queries and keys are (arXiv:2309.00071, section 3.4).
    pub(crate) fn score_factor(&self) -> f32 {
        if !matches!(self.kind(), "yarn" | "longrope") {
            return 1.0;
        }
        let usual = || 0.1 * self.factor.unwrap_or(1.0).max(1.0).ln() + 1.0;
        self.attention_factor.unwrap_or_else(usual).powi(2) as f32
    }

    /// `YaRN` (arXiv:2309.00071, section 3.2): slow pairs are divided by the factor, fast ones stay, and between the two bounds, which are places of
    /// pairs, the share of either changes linearly.
    fn by_parts(&self, frequencies: &[f32], theta: f64) -> Vec<f32> {
        let (pairs, factor) = (frequencies.len() as f64, self.factor.unwrap_or(1.0) as f32);
        let context = self.original_max_position_embeddings.unwrap_or(2048) as f64;
        let place = |turns: f64| pairs * (context / (turns * 2.0 * PI)).ln() / theta.ln();
        let (mut low, mut high) = (place(self.beta_fast.unwrap_or(32.0)), place(self.beta_slow.unwrap_or(1.0)));
        if self.truncate != Some(false) {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, high) = (low.max(0.0), high.min(2.0 * pairs - 1.0));
        let width = if high > low { high - low } else { 1e-3 };
        let part = |(n, &frequency): (usize, &f32)| {
            let slow = ((n as f64 - low) / width).clamp(0.0, 1.0) as f32;
            frequency / factor * slow + frequency * (1.0 - slow)
        };
        frequencies.iter().enumerate().map(part).collect()
    }

    /// Llama 3's frequencies (arXiv:2407.21783, section 3.4.2, as published with the model): slow ones are divided by the
    /// factor, fast ones stay, and between the two bounds the share of either changes linearly.
    fn stretched(&self, frequency: f32) -> f32 {
        let (low, high) = (self.low_freq_factor.unwrap_or(1.0), self.high_freq_factor.unwrap_or(4.0));
        let (context, frequency) = (self.original_max_position_embeddings.unwrap_or(8192) as f64, f64::from(frequency));
        let turns = context * frequency / (2.0 * PI);
        let stays = ((turns - low) / (high - low)).clamp(0.0, 1.0);
        (frequency * (stays + (1.0 - stays) / self.factor.unwrap_or(1.0))) as f32
    }
}

/// By what a `config.json` has each rotary frequency of a head divided, where it says so for each of them (`llama3`, `longrope`).
pub fn frequency_factors(config: &Value, head_dim: usize) -> Option<Vec<f32>> {
    let given = |name: &str| config.get(name).filter(|value| !value.is_null()).cloned();
    let settings = given("rope_parameters").or_else(|| given("rope_scaling"))?;
    let mut rope: RopeParameters = serde_json::from_value(settings).ok()?;
    if !matches!(rope.kind(), "llama3" | "longrope") {
        return None;
    }
    rope.rope_theta = rope.rope_theta.or_else(|| config.get("rope_theta")?.as_f64());
    let plain = RopeAngles::frequencies(head_dim, rope.rope_theta.unwrap_or(10_000.0));
    Some(plain.iter().zip(rope.frequencies(head_dim)).map(|(plain, stretched)| plain / stretched).collect())
}
