//! Rewards that a program gives.

use inkstone_corpus::judged::{Judged, Verdict};
use serde::{Deserialize, Serialize};

use super::rollout::Rollout;

/// `reward = { … }` of a `policy` stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardTable {
    /// What a good answer gets: the known one, but for case, punctuation and articles. Default 1.
    #[serde(default = "crate::config::unit")]
    pub exact: f64,
    /// What it gets for holding the known answer among other words. Default 0.
    #[serde(default)]
    pub contains: f64,
    /// What an answer gets that did not end by itself. Default −1.
    #[serde(default = "minus_one")]
    pub unfinished: f64,
    /// What an answer gets that says what must not be said. Default −1.
    #[serde(default = "minus_one")]
    pub harmful: f64,
    /// What each token costs. Default 0.
    #[serde(default)]
    pub per_token: f64,
}

fn minus_one() -> f64 {
    -1.0
}

impl Default for RewardTable {
    fn default() -> Self {
        Self { exact: 1.0, contains: 0.0, unfinished: -1.0, harmful: -1.0, per_token: 0.0 }
    }
}

impl RewardTable {
    /// What is wrong with the settings, if anything.
    pub fn validate(&self) -> Result<(), String> {
        let all = [self.exact, self.contains, self.unfinished, self.harmful, self.per_token];
        if all.iter().all(|x| x.is_finite()) { Ok(()) } else { Err("`reward` has a number that is not finite".into()) }
    }

    /// The reward of an answer that reads `text`.
    pub fn judge(&self, rollout: &Rollout, text: &str, judged: &Judged) -> f64 {
        let verdict = match judged.verdict(text) {
            Verdict::Harmful => self.harmful,
            _ if !rollout.finished => self.unfinished,
            Verdict::Right => self.exact,
            Verdict::Partly => self.contains,
            Verdict::Wrong => 0.0,
        };
        verdict - self.per_token * rollout.ids.len() as f64
    }
}
