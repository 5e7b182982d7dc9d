//! Learning-rate schedules, as a factor on the peak rate.

use serde::{Deserialize, Serialize};

/// How the learning rate moves over a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// Linear warm-up, then half a cosine down to `min_ratio` (SGDR, arXiv:1608.03983, without restarts).
    Cosine {
        /// Steps of linear warm-up.
        #[serde(default = "default_warmup")]
        warmup: u64,
        /// Final rate over peak rate.
        #[serde(default = "default_min_ratio")]
        min_ratio: f64,
    },
    /// Warm-up, stable, decay: a trapezoid (arXiv:2405.18392, section 3).
    Wsd {
        /// Steps of linear warm-up.
        #[serde(default = "default_warmup")]
        warmup: u64,
        /// Share of all steps that the final linear decay takes.
        #[serde(default = "default_decay")]
        decay: f64,
        /// Final rate over peak rate.
        #[serde(default)]
        min_ratio: f64,
    },
    /// Linear warm-up, then the peak rate.
    Constant {
        /// Steps of linear warm-up.
        #[serde(default = "default_warmup")]
        warmup: u64,
    },
}

fn default_warmup() -> u64 {
    50
}

fn default_min_ratio() -> f64 {
    0.1
}

fn default_decay() -> f64 {
    0.3
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Cosine { warmup: default_warmup(), min_ratio: default_min_ratio() }
    }
}

impl Schedule {
    /// The rate of `step` (counted from 0) of `steps`, over the peak rate.
    pub fn factor(&self, step: u64, steps: u64) -> f64 {
        let warmup = self.warmup();
        if step < warmup {
            return (step + 1) as f64 / (warmup + 1) as f64;
        }
        match *self {
            Self::Constant { .. } => 1.0,
            Self::Cosine { min_ratio, .. } => {
                let progress = (step - warmup) as f64 / steps.saturating_sub(warmup).max(1) as f64;
                min_ratio + (1.0 - min_ratio) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
            }
            Self::Wsd { decay, min_ratio, .. } => {
                let length = (decay * steps as f64).max(1.0);
                let left = steps.saturating_sub(step) as f64;
                min_ratio + (1.0 - min_ratio) * (left / length).min(1.0)
            }
        }
    }

    /// What is wrong with the settings, if anything.
    pub fn validate(&self) -> Result<(), String> {
        let unit = |name: &str, x: f64| {
            if (0.0..=1.0).contains(&x) {
                Ok(())
            } else {
                Err(format!("`schedule.{name}` is {x}, expected a number from 0 to 1"))
            }
        };
        match *self {
            Self::Constant { .. } => Ok(()),
            Self::Cosine { min_ratio, .. } => unit("min_ratio", min_ratio),
            Self::Wsd { decay, min_ratio, .. } => unit("decay", decay).and_then(|()| unit("min_ratio", min_ratio)),
        }
    }

    fn warmup(&self) -> u64 {
        match *self {
            Self::Cosine { warmup, .. } | Self::Wsd { warmup, .. } | Self::Constant { warmup } => warmup,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    #[test]
    fn cosine_meets_its_known_points() {
        let schedule = Schedule::Cosine { warmup: 10, min_ratio: 0.1 };
        assert!((schedule.factor(0, 110) - 1.0 / 11.0).abs() < 1e-12);
        assert!((schedule.factor(10, 110) - 1.0).abs() < 1e-12);
        assert!((schedule.factor(60, 110) - 0.55).abs() < 1e-12);
        assert!((schedule.factor(110, 110) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn wsd_is_a_trapezoid() {
        let schedule = Schedule::Wsd { warmup: 10, decay: 0.2, min_ratio: 0.0 };
        assert_eq!(schedule.factor(50, 100), 1.0);
        assert_eq!(schedule.factor(79, 100), 1.0);
        assert!((schedule.factor(90, 100) - 0.5).abs() < 1e-12);
        assert!((schedule.factor(99, 100) - 0.05).abs() < 1e-12);
    }
}
