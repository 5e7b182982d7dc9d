//! Log-probabilities of tokens.

use crate::request::Scored;

/// The log-probability of token `id` under logits, with the `top` most likely ones.
///
/// A token's own number and its number among the most likely ones are the same bits: clients compare them.
pub(crate) fn scored(logits: &[f32], id: u32, top: usize) -> Scored {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - most).exp()).sum();
    let norm = f64::from(most) + sum.ln();
    let logprob = |id: u32| (f64::from(logits[id as usize]) - norm) as f32;
    Scored { id, logprob: Some(logprob(id)), top: most_likely(logits, top).map(|id| (id, logprob(id))).collect() }
}

fn most_likely(logits: &[f32], n: usize) -> impl Iterator<Item = u32> {
    let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
    let likelier = |&a: &u32, &b: &u32| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b));
    if n < ids.len() {
        ids.select_nth_unstable_by(n, likelier);
        ids.truncate(n);
    }
    ids.sort_unstable_by(likelier);
    ids.into_iter()
}
