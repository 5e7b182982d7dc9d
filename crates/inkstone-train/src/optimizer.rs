//! AdamW with decoupled weight decay (arXiv:1711.05101, algorithm 2), over gradients that are
//! accumulated outside the graph.

use inkstone_kernels::{AdamW, adamw, add_scaled, sum_of_squares};
use inkstone_models::Model;
use inkstone_nn::{Gradient, Gradients};
use serde::{Deserialize, Serialize};

/// Hyper-parameters of AdamW.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Decay of the first moment.
    #[serde(default = "default_beta1")]
    pub beta1: f64,
    /// Decay of the second moment.
    #[serde(default = "default_beta2")]
    pub beta2: f64,
    /// Added to the root of the second moment.
    #[serde(default = "default_epsilon")]
    pub epsilon: f64,
    /// Decoupled decay of matrices; vectors (norms, biases) are never decayed.
    #[serde(default = "default_weight_decay")]
    pub weight_decay: f64,
}

fn default_beta1() -> f64 {
    0.9
}

fn default_beta2() -> f64 {
    0.95
}

fn default_epsilon() -> f64 {
    1e-8
}

fn default_weight_decay() -> f64 {
    0.1
}

impl OptimizerConfig {
    /// What is wrong with the settings, if anything.
    pub fn validate(&self) -> Result<(), String> {
        let inside = |name: &str, x: f64, low: f64, high: f64| {
            if x >= low && x < high {
                Ok(())
            } else {
                Err(format!("`optimizer.{name}` is {x}, expected at least {low} and less than {high}"))
            }
        };
        inside("learning_rate", self.learning_rate, 0.0, 100.0)?;
        inside("beta1", self.beta1, 0.0, 1.0)?;
        inside("beta2", self.beta2, 0.0, 1.0)?;
        inside("epsilon", self.epsilon, 0.0, 1.0)?;
        inside("weight_decay", self.weight_decay, 0.0, 100.0)
    }
}

/// The state of one parameter: its moments and the gradient being summed for the next step.
#[derive(Debug)]
pub struct Slot {
    /// Hugging Face name of the parameter.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// First moment.
    pub moment1: Vec<f32>,
    /// Second moment.
    pub moment2: Vec<f32>,
    gradient: Option<Sum>,
}

/// A sum of gradients: `factor · gradient`, so that a single one is neither copied nor scaled.
#[derive(Debug)]
struct Sum {
    gradient: Gradient,
    factor: f32,
}

impl Sum {
    fn add(&mut self, gradient: &Gradient, factor: f32) {
        add_scaled(self.gradient.values_mut(), gradient.values(), factor / self.factor);
    }

    fn sum_of_squares(&self) -> f64 {
        sum_of_squares(self.gradient.values()) * f64::from(self.factor).powi(2)
    }
}

/// AdamW over all parameters of a model that are trained, in the order in which the model names them.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    slots: Vec<Slot>,
    steps: u64,
    labelled: usize,
}

impl Optimizer {
    /// Zero moments for every parameter of `model` that is trained.
    pub fn new(model: &Model, config: OptimizerConfig) -> Self {
        let mut slots = Vec::new();
        model.visit_trainable(&mut |name, shape, values| {
            let zeros = || vec![0.0; values.len()];
            slots.push(Slot {
                name: name.to_owned(),
                shape: shape.to_vec(),
                moment1: zeros(),
                moment2: zeros(),
                gradient: None,
            });
        });
        Self { config, slots, steps: 0, labelled: 0 }
    }

    /// The state by parameter, for a checkpoint.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Puts a checkpoint's moments back; `steps` is the number of steps taken so far.
    pub fn restore(
        &mut self,
        steps: u64,
        mut moments: impl FnMut(&Slot) -> Option<(Vec<f32>, Vec<f32>)>,
    ) -> Option<()> {
        for slot in &mut self.slots {
            (slot.moment1, slot.moment2) = moments(slot)?;
        }
        self.steps = steps;
        Some(())
    }

    /// Adds the gradients of a mean over `labelled` tokens to the sum of this step.
    pub fn accumulate(&mut self, model: &Model, gradients: &mut Gradients, labelled: usize) {
        if labelled == 0 {
            return;
        }
        let mut slots = self.slots.iter_mut();
        model.visit_gradients(gradients, &mut |name, gradient| {
            let slot =
                slots.find(|slot| slot.name == name).expect("invariant: gradients come in the order of the parameters");
            match &mut slot.gradient {
                Some(sum) => sum.add(&gradient, labelled as f32),
                empty => *empty = Some(Sum { gradient, factor: labelled as f32 }),
            }
        });
        self.labelled += labelled;
    }

    /// The global norm of the mean gradient of this step.
    pub fn gradient_norm(&self) -> f64 {
        let squares: f64 = self.slots.iter().filter_map(|slot| slot.gradient.as_ref()).map(Sum::sum_of_squares).sum();
        squares.sqrt() / self.labelled.max(1) as f64
    }

    /// The first parameter whose gradient is not finite.
    pub fn non_finite(&self) -> Option<&str> {
        let finite = |slot: &&Slot| slot.gradient.as_ref().is_none_or(|sum| sum.sum_of_squares().is_finite());
        self.slots.iter().find(|slot| !finite(slot)).map(|slot| slot.name.as_str())
    }

    /// One step: the mean gradient, scaled down to `clip` if its norm is larger, moves the weights. A parameter without
    /// a gradient stays as it is.
    pub fn step(&mut self, model: Model, learning_rate: f64, norm: f64, clip: f64) -> Model {
        self.steps += 1;
        let clipped = if clip > 0.0 && norm > clip { clip / norm } else { 1.0 };
        let scale = clipped / self.labelled.max(1) as f64;
        self.labelled = 0;
        let (config, steps) = (&self.config, self.steps);
        let mut slots = self.slots.iter_mut();
        model.update_trainable(&mut |name, shape, weight| {
            let slot = slots.next().expect("invariant: a model has the parameters that it had before");
            debug_assert_eq!(slot.name, name);
            let Some(Sum { gradient, factor }) = slot.gradient.take() else { return };
            let scale = scale * f64::from(factor);
            let hyper = hyper(config, learning_rate, shape.len() > 1, steps, scale);
            adamw(weight, &mut slot.moment1, &mut slot.moment2, gradient.values(), &hyper);
        })
    }
}

fn hyper(config: &OptimizerConfig, learning_rate: f64, decayed: bool, step: u64, gradient_scale: f64) -> AdamW {
    AdamW {
        learning_rate: learning_rate as f32,
        beta1: config.beta1 as f32,
        beta2: config.beta2 as f32,
        epsilon: config.epsilon as f32,
        weight_decay: if decayed { config.weight_decay as f32 } else { 0.0 },
        step,
        gradient_scale: gradient_scale as f32,
    }
}
