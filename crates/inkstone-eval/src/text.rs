//! Loss, perplexity and bits per byte on a text.

use inkstone_models::Model;
use inkstone_recipe::Interrupt;
use inkstone_tokenizer::Tokenizer;
use serde::Serialize;

use crate::EvalError;

/// How well a model predicts a text.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TextLoss {
    /// Mean negative log-likelihood in nats per token.
    pub loss: f64,
    /// Its exponential.
    pub perplexity: f64,
    /// Negative log-likelihood of the whole text in bits, over its bytes; comparable across tokenizers.
    pub bits_per_byte: f64,
    /// Tokens predicted.
    pub tokens: u64,
    /// Bytes of the text.
    pub bytes: u64,
}

/// The label of a position that is not predicted.
const IGNORE: i32 = -100;

/// Evaluates `text` with windows of `context` tokens. Windows overlap by half, and of each window
/// but the first only the second half counts, so that every token is predicted once from at least
/// `context / 2` tokens before it. The first token is predicted from the beginning-of-text token
/// where there is one, else it is not counted.
pub fn text_loss(
    model: &Model,
    tokenizer: &Tokenizer,
    text: &str,
    context: usize,
    (interrupt, progress): (&Interrupt, &mut dyn FnMut(u64, u64)),
) -> Result<TextLoss, EvalError> {
    if context < 2 || context > model.context() {
        return Err(EvalError::Context { got: context, longest: model.context() });
    }
    let ids = text_ids(tokenizer, text)?;
    let losses = token_losses(model, &ids, context, (interrupt, progress))?;
    Ok(TextLoss::of(losses.iter().map(|&x| f64::from(x)).sum(), losses.len() as u64, text))
}

/// The loss (nats) of each of `ids` but the first, in windows of `context` as [`text_loss`] has them.
pub(crate) fn token_losses(
    model: &Model,
    ids: &[u32],
    context: usize,
    (interrupt, progress): (&Interrupt, &mut dyn FnMut(u64, u64)),
) -> Result<Vec<f32>, EvalError> {
    let mut losses = Vec::with_capacity(ids.len());
    for window in windows(ids.len().saturating_sub(1), context) {
        if interrupt.requested() {
            return Err(EvalError::Interrupted);
        }
        losses.extend(window_losses(model, ids, &window));
        progress(window.end as u64, ids.len() as u64 - 1);
    }
    Ok(losses)
}

impl TextLoss {
    /// The loss of a text of whose tokens `tokens` were predicted, with `nats` of negative log-likelihood in all.
    pub fn of(nats: f64, tokens: u64, text: &str) -> Self {
        let loss = nats / tokens as f64;
        let bits = nats / std::f64::consts::LN_2;
        let bytes = text.len() as u64;
        Self { loss, perplexity: loss.exp(), bits_per_byte: bits / bytes as f64, tokens, bytes }
    }
}

/// The ids of a text that is evaluated: the beginning-of-text token where there is one, then the text.
pub fn text_ids(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, EvalError> {
    let mut ids: Vec<u32> = tokenizer.bos().into_iter().collect();
    ids.extend(tokenizer.encode(text)?);
    if ids.len() < 2 {
        return Err(EvalError::Empty { path: "the text".into(), what: "has no tokens to predict" });
    }
    Ok(ids)
}

/// Inputs `start..end`, of which the predictions from `first_counted` on count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    start: usize,
    first_counted: usize,
    end: usize,
}

fn windows(inputs: usize, context: usize) -> impl Iterator<Item = Window> {
    let mut counted = 0;
    std::iter::from_fn(move || {
        if counted == inputs {
            return None;
        }
        let start = if counted == 0 { 0 } else { counted - context / 2 };
        let end = (start + context).min(inputs);
        let window = Window { start, first_counted: counted, end };
        counted = end;
        Some(window)
    })
}

/// The losses of the predictions of a window that count.
fn window_losses(model: &Model, ids: &[u32], window: &Window) -> Vec<f32> {
    let labels: Vec<i32> =
        (window.start..window.end).map(|i| if i < window.first_counted { IGNORE } else { ids[i + 1] as i32 }).collect();
    let loss = model.loss(&ids[window.start..window.end], &labels, 1, None);
    loss.losses[window.first_counted - window.start..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::windows;

    #[test]
    fn every_prediction_counts_once_with_half_a_context_before_it() {
        for inputs in [1, 2, 7, 8, 9, 31, 64, 100] {
            for context in [2, 3, 8, 16] {
                let mut next = 0;
                for window in windows(inputs, context) {
                    assert_eq!(window.first_counted, next);
                    assert!(window.end - window.start <= context && window.end > next);
                    assert!(window.start == 0 || window.first_counted - window.start == context / 2);
                    next = window.end;
                }
                assert_eq!(next, inputs);
            }
        }
    }
}
