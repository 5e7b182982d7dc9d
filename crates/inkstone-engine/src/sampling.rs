//! How the next token is drawn from the logits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Sampling settings; the names and meanings are those of `generation_config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Tokens to generate at most.
    pub max_new_tokens: usize,
    /// Divides the logits; 0 takes the most likely token.
    pub temperature: f32,
    /// Keep the `k` most likely tokens.
    pub top_k: Option<usize>,
    /// Keep the fewest most likely tokens whose probabilities sum to at least this (arXiv:1904.09751).
    pub top_p: Option<f32>,
    /// Keep tokens at least this share as likely as the most likely one (arXiv:2407.01082).
    pub min_p: Option<f32>,
    /// Divides the positive logits of tokens that occurred, multiplies the negative ones (arXiv:1909.05858).
    pub repetition_penalty: f32,
    /// Keep the tokens whose surprise is nearest to the mean one, until their probabilities sum to at least this
    /// (arXiv:2202.00666).
    #[serde(default)]
    pub typical_p: Option<f32>,
    /// Taken off the logits of tokens that the answer has already.
    #[serde(default)]
    pub presence_penalty: f32,
    /// Taken off for each time that the answer has the token already.
    #[serde(default)]
    pub frequency_penalty: f32,
    /// Added to the logits of these tokens.
    #[serde(default)]
    pub logit_bias: Vec<(u32, f32)>,
    /// Tokens before which no stop token is drawn.
    #[serde(default)]
    pub min_new_tokens: usize,
    /// Seed; the same seed and prompt give the same tokens.
    pub seed: u64,
    /// Tokens that end the answer; they are not part of it.
    pub stop_ids: Vec<u32>,
}

impl Sampling {
    /// The most likely token each time, up to 256.
    pub fn greedy() -> Self {
        Self {
            max_new_tokens: 256,
            temperature: 0.0,
            top_k: None,
            top_p: None,
            min_p: None,
            repetition_penalty: 1.0,
            typical_p: None,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            min_new_tokens: 0,
            seed: 0,
            stop_ids: Vec::new(),
        }
    }

    /// What is wrong with the settings, if anything.
    pub fn validate(&self) -> Result<(), String> {
        let wrong = |name: &str, got: f32, expected: &str| Err(format!("{name} is {got}, expected {expected}"));
        match self {
            Self { temperature, .. } if !(*temperature >= 0.0 && temperature.is_finite()) => {
                wrong("temperature", *temperature, "0 or more")
            }
            Self { top_k: Some(0), .. } => wrong("top_k", 0.0, "1 or more"),
            Self { top_p: Some(p), .. } if !(*p > 0.0 && *p <= 1.0) => wrong("top_p", *p, "more than 0, at most 1"),
            Self { min_p: Some(p), .. } if !(0.0..=1.0).contains(p) => wrong("min_p", *p, "0 to 1"),
            Self { repetition_penalty: p, .. } if !(*p > 0.0 && p.is_finite()) => {
                wrong("repetition_penalty", *p, "more than 0")
            }
            Self { typical_p: Some(p), .. } if !(*p > 0.0 && *p <= 1.0) => {
                wrong("typical_p", *p, "more than 0, at most 1")
            }
            Self { presence_penalty: p, .. } if !p.is_finite() => wrong("presence_penalty", *p, "a number"),
            Self { frequency_penalty: p, .. } if !p.is_finite() => wrong("frequency_penalty", *p, "a number"),
            _ => Ok(()),
        }
    }

    /// The next token after `context`, of which the first `prompt` tokens are not the answer's, given its logits.
    pub(crate) fn next(&self, logits: &mut [f32], context: &[u32], prompt: usize) -> u32 {
        let answer = &context[prompt.min(context.len())..];
        self.penalise(logits, context);
        self.adjust(logits, answer);
        if self.temperature == 0.0 {
            return argmax(logits);
        }
        let candidates = self.candidates(logits);
        draw(&candidates, uniform(self.seed, answer.len() as u64))
    }

    /// Presence and frequency penalties, biases, and no stop token before its time.
    fn adjust(&self, logits: &mut [f32], answer: &[u32]) {
        if self.presence_penalty != 0.0 || self.frequency_penalty != 0.0 {
            let mut counts = BTreeMap::new();
            for id in answer {
                *counts.entry(id).or_insert(0_u32) += 1;
            }
            for (&id, count) in counts {
                if let Some(logit) = logits.get_mut(id as usize) {
                    *logit -= self.presence_penalty + self.frequency_penalty * count as f32;
                }
            }
        }
        for &(id, bias) in &self.logit_bias {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit += bias;
            }
        }
        if answer.len() < self.min_new_tokens {
            for &id in &self.stop_ids {
                if let Some(logit) = logits.get_mut(id as usize) {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
    }

    fn penalise(&self, logits: &mut [f32], context: &[u32]) {
        if self.repetition_penalty == 1.0 {
            return;
        }
        let mut seen: Vec<u32> = context.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for logit in seen
            .into_iter()
            .filter_map(|id| logits.get(id as usize).copied().map(|logit| (id, logit)))
            .collect::<Vec<_>>()
        {
            let (id, value) = logit;
            logits[id as usize] =
                if value > 0.0 { value / self.repetition_penalty } else { value * self.repetition_penalty };
        }
    }

    /// Tokens that may be drawn with their probabilities (not normalised), most likely first.
    fn candidates(&self, logits: &[f32]) -> Vec<(u32, f64)> {
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        let likelier = |&a: &u32, &b: &u32| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b));
        if let Some(k) = self.top_k.filter(|&k| k < order.len()) {
            order.select_nth_unstable_by(k, likelier);
            order.truncate(k);
        }
        order.sort_unstable_by(likelier);
        let top = f64::from(logits[order[0] as usize]);
        let weight = |id: u32| ((f64::from(logits[id as usize]) - top) / f64::from(self.temperature)).exp();
        let mut kept: Vec<(u32, f64)> = order.into_iter().map(|id| (id, weight(id))).collect();
        self.keep_typical(&mut kept);
        self.keep_nucleus(&mut kept);
        if let Some(p) = self.min_p {
            kept.retain(|&(_, weight)| weight >= f64::from(p));
        }
        kept
    }

    fn keep_typical(&self, kept: &mut Vec<(u32, f64)>) {
        let Some(p) = self.typical_p else { return };
        let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
        let surprise = |weight: f64| -(weight / total).ln();
        let likely = kept.iter().filter(|(_, weight)| *weight > 0.0);
        let mean: f64 = likely.map(|&(_, weight)| weight / total * surprise(weight)).sum();
        let distance = |weight: f64| (surprise(weight) - mean).abs();
        kept.sort_by(|&(a, x), &(b, y)| distance(x).total_cmp(&distance(y)).then(a.cmp(&b)));
        let mut sum = 0.0;
        let wanted = kept.iter().position(|(_, weight)| {
            sum += weight;
            sum >= f64::from(p) * total
        });
        kept.truncate(wanted.map_or(kept.len(), |last| last + 1));
        kept.sort_by(|(a, x), (b, y)| y.total_cmp(x).then(a.cmp(b)));
    }

    fn keep_nucleus(&self, kept: &mut Vec<(u32, f64)>) {
        let Some(p) = self.top_p else { return };
        let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
        let mut sum = 0.0;
        let wanted = kept.iter().position(|(_, weight)| {
            sum += weight;
            sum >= f64::from(p) * total
        });
        kept.truncate(wanted.map_or(kept.len(), |last| last + 1));
    }
}

/// The index of the largest value, the first one of equals.
fn argmax(values: &[f32]) -> u32 {
    let best = values
        .iter()
        .enumerate()
        .fold((0, f32::NEG_INFINITY), |best, (id, &value)| if value > best.1 { (id, value) } else { best });
    best.0 as u32
}

fn draw(candidates: &[(u32, f64)], uniform: f64) -> u32 {
    let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
    let mut left = uniform * total;
    for &(id, weight) in candidates {
        left -= weight;
        if left < 0.0 {
            return id;
        }
    }
    candidates.last().map_or(0, |&(id, _)| id)
}

/// A number from 0 to 1 (exclusive) that depends on seed and index only: `SplitMix64`'s finaliser
/// (Steele, Lea, Flood 2014) over both.
fn uniform(seed: u64, index: u64) -> f64 {
    let mut z = seed
        .wrapping_mul(0xa076_1d64_78bd_642f)
        .wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::{Sampling, uniform};

    fn sampling() -> Sampling {
        Sampling { temperature: 1.0, ..Sampling::greedy() }
    }

    #[test]
    fn zero_temperature_takes_the_first_of_the_largest() {
        assert_eq!(Sampling::greedy().next(&mut [0.0, 2.0, 2.0, 1.0], &[], 0), 1);
    }

    #[test]
    fn filters_keep_what_their_definitions_say() {
        let logits: Vec<f32> = [0.5f32, 0.25, 0.125, 0.125].iter().map(|p| p.ln()).collect();
        let kept = |sampling: Sampling| sampling.candidates(&logits).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(kept(Sampling { top_k: Some(2), ..sampling() }), [0, 1]);
        assert_eq!(kept(Sampling { top_p: Some(0.7), ..sampling() }), [0, 1]);
        assert_eq!(kept(Sampling { top_p: Some(0.8), ..sampling() }), [0, 1, 2]);
        assert_eq!(kept(Sampling { min_p: Some(0.3), ..sampling() }), [0, 1]);
        assert_eq!(kept(sampling()), [0, 1, 2, 3]);
        // Surprises are 0.69, 1.39, 2.08, 2.08 nats, their mean 1.21: the second token is the most typical one.
        assert_eq!(kept(Sampling { typical_p: Some(0.2), ..sampling() }), [1]);
        assert_eq!(kept(Sampling { typical_p: Some(0.7), ..sampling() }), [0, 1]);
    }

    #[test]
    fn penalties_count_the_answer_alone_and_biases_move_any_token() {
        let sampling = Sampling {
            presence_penalty: 0.5,
            frequency_penalty: 0.25,
            logit_bias: vec![(3, 2.0), (99, 1.0)],
            min_new_tokens: 4,
            stop_ids: vec![0],
            ..Sampling::greedy()
        };
        let mut logits = [1.0, 1.0, 1.0, 1.0];
        sampling.adjust(&mut logits, &[1, 1, 2]);
        assert_eq!(logits, [f32::NEG_INFINITY, 0.0, 0.25, 3.0]);
        assert_eq!(sampling.next(&mut [0.0, 0.3, 0.2, -9.0], &[1, 1], 2), 1, "the prompt is no answer");
    }

    #[test]
    fn penalty_lowers_seen_tokens_of_either_sign() {
        let mut logits = [2.0, -2.0, 1.0];
        Sampling { repetition_penalty: 2.0, ..sampling() }.penalise(&mut logits, &[0, 1, 1]);
        assert_eq!(logits, [1.0, -4.0, 1.0]);
    }

    #[test]
    fn draws_follow_the_distribution() {
        let logits: Vec<f32> = [0.7f32, 0.2, 0.1].iter().map(|p| p.ln()).collect();
        let mut counts = [0u32; 3];
        for seed in 0..20_000 {
            let sampling = Sampling { seed, ..sampling() };
            counts[sampling.next(&mut logits.clone(), &[], 0) as usize] += 1;
        }
        for (count, expected) in counts.into_iter().zip([0.7, 0.2, 0.1]) {
            assert!((f64::from(count) / 20_000.0 - expected).abs() < 0.015, "{counts:?}");
        }
        assert!((0..1000).all(|index| (0.0..1.0).contains(&uniform(3, index))));
    }
}
