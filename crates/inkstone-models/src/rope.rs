//! Rotary settings of a `config.json`, and the frequencies that they mean.

use std::f64::consts::PI;

use inkstone_nn::ops::RopeAngles;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::fields::{expect, expect_word};

/// `rope_parameters`, or `rope_scaling` of transformers 4.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct RopeParameters {
    /// `default`, `linear` or `llama3`.
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
    /// The context of the pre-training (`llama3`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original_max_position_embeddings: Option<usize>,
}

impl RopeParameters {
    fn kind(&self) -> &str {
        self.rope_type.as_deref().unwrap_or("default")
    }

    pub(crate) fn validate(&self) -> Result<(), ModelError> {
        expect_word("rope_type", self.kind(), &["default", "linear", "llama3"])?;
        let positive = |field, value: Option<f64>| {
            let value = value.unwrap_or(f64::NAN);
            expect(value > 0.0 && value.is_finite(), field, value, || "a number above 0".into())
        };
        positive("rope_theta", self.rope_theta.or(Some(10_000.0)))?;
        if self.kind() != "default" {
            positive("factor", self.factor)?;
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
        let frequencies = RopeAngles::frequencies(head_dim, self.rope_theta.unwrap_or(10_000.0));
        let factor = self.factor.unwrap_or(1.0) as f32;
        match self.kind() {
            // arXiv:2306.15595, section 2.3
            "linear" => frequencies.into_iter().map(|frequency| frequency / factor).collect(),
            "llama3" => frequencies.into_iter().map(|frequency| self.stretched(frequency)).collect(),
            _ => frequencies,
        }
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
