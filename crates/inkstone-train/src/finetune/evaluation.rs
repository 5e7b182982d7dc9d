//! How good a tuned model is on held-out examples.

use inkstone_models::Model;
use inkstone_recipe::Metrics;

use super::data::Examples;
use super::objective::Tuned;
use super::task::TaskTable;
use crate::objective::Batches;
use crate::objective::noised::Hits;

/// Accuracy with its interval, beside that of the commonest label; of a regression the mean square error, beside that of the mean,
/// and Pearson's correlation.
pub(crate) fn evaluate(tuned: &Tuned<'_>, model: &Model, examples: &mut Examples, metrics: &mut Metrics) {
    if examples.examples.is_empty() {
        return;
    }
    let model = model.valid();
    let (mut guesses, mut numbers) = (Vec::new(), Vec::new());
    for index in 0..examples.batches_per_pass() {
        let batch = examples.pass_batch(index);
        match tuned.task {
            TaskTable::Regression {} => numbers.extend(tuned.numbers(&model, &batch)),
            TaskTable::Extraction {} => guesses.extend(both(&tuned.guesses(&model, &batch))),
            _ => guesses.extend(tuned.guesses(&model, &batch)),
        }
    }
    Hits::of(&guesses).publish("accuracy", metrics);
    if !numbers.is_empty() {
        publish_numbers(&numbers, metrics);
    }
}

/// An answer is right where its beginning and its end are: 0 beside 0, else 1 beside 0.
fn both(guesses: &[(i32, i32)]) -> Vec<(i32, i32)> {
    let (starts, ends) = guesses.split_at(guesses.len() / 2);
    let wrong = |(start, end): (&(i32, i32), &(i32, i32))| i32::from(start.0 != start.1 || end.0 != end.1);
    starts.iter().zip(ends).map(|both| (wrong(both), 0)).collect()
}

fn publish_numbers(pairs: &[(f64, f64)], metrics: &mut Metrics) {
    let n = pairs.len() as f64;
    let mean = |f: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>() / n;
    let (guess, right) = (mean(&|pair| pair.0), mean(&|pair| pair.1));
    let spread = [mean(&|pair| (pair.0 - guess).powi(2)), mean(&|pair| (pair.1 - right).powi(2))];
    let common = mean(&|pair| (pair.0 - guess) * (pair.1 - right));
    metrics.insert("square_error".into(), mean(&|pair| (pair.0 - pair.1).powi(2)).into());
    metrics.insert("mean_square_error".into(), spread[1].into());
    metrics.insert("pearson".into(), (common / (spread[0] * spread[1]).sqrt().max(1e-12)).into());
}
