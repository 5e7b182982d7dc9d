//! Advantages and the clipped objective beside their definitions, written out slowly.

use inkstone_corpus::judged::Judged;
use inkstone_nn::{Tensor, training_device};
use inkstone_train::policy::ppo::Ppo;
use inkstone_train::policy::reward::RewardTable;
use inkstone_train::policy::rollout::Rollout;
use inkstone_train::policy::surrogate::Tokens;
use inkstone_train::policy::{grpo, rloo};

fn rollout(reward: f64, old: &[f32], reference: &[f32], values: &[f32]) -> Rollout {
    Rollout {
        ids: vec![0; old.len()],
        reward,
        old: old.to_vec(),
        reference: reference.to_vec(),
        values: values.to_vec(),
        ..Rollout::default()
    }
}

#[track_caller]
fn close(got: &[f32], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    let near = |(&g, &e): (&f32, &f64)| (f64::from(g) - e).abs() < 1e-5;
    assert!(got.iter().zip(expected).all(near), "{got:?}, expected {expected:?}");
}

#[test]
fn grpo_compares_an_answer_with_its_group() {
    let mut rollouts: Vec<Rollout> = [1.0, 0.0, 0.0, 1.0, 5.0, 5.0, 5.0, 5.0]
        .iter()
        .map(|&reward| rollout(reward, &[-1.0, -2.0], &[-1.0, -2.0], &[]))
        .collect();
    grpo::advantages(&mut rollouts, 4);
    // Deviation of 1, 0, 0, 1 over n − 1: √(1/3).
    let one = 0.5 / ((1.0_f64 / 3.0).sqrt() + 1e-4);
    close(&rollouts[0].advantages, &[one, one]);
    close(&rollouts[1].advantages, &[-one, -one]);
    close(&rollouts[4].advantages, &[0.0, 0.0]);
}

#[test]
fn rloo_leaves_one_out_and_pays_for_divergence() {
    let mut rollouts = vec![
        rollout(2.0, &[-1.0], &[-1.5], &[]),
        rollout(1.0, &[-1.0], &[-1.0], &[]),
        rollout(0.0, &[-1.0], &[-1.0], &[]),
    ];
    rloo::advantages(&mut rollouts, 3, 0.2);
    close(&rollouts[0].advantages, &[2.0 - 0.2 * 0.5 - 0.5]);
    close(&rollouts[2].advantages, &[-1.45]);
}

#[test]
fn advantages_of_ppo_are_the_discounted_sum_of_what_surprised() {
    let (lambda, gamma, kl) = (0.9, 0.95, 0.1);
    let ppo = Ppo { lambda, gamma, value_weight: 0.1, value_clip: 0.2, whiten: false, leave_one_out: false };
    let (old, reference, values) = ([-1.0, -0.5, -2.0], [-1.2, -0.9, -1.5], [0.3, 0.1, -0.2]);
    let mut rollouts = vec![rollout(1.5, &old, &reference, &values)];
    ppo.advantages(&mut rollouts, 1, kl);
    let reward = |t: usize| if t == 2 { 1.5 } else { 0.0 } - kl * f64::from(old[t] - reference[t]);
    let value = |t: usize| values.get(t).map_or(0.0, |&v| f64::from(v));
    let surprise = |t: usize| reward(t) + gamma * value(t + 1) - value(t);
    let expected: Vec<f64> =
        (0..3).map(|t| (t..3).map(|s| (gamma * lambda).powi((s - t) as i32) * surprise(s)).sum()).collect();
    close(&rollouts[0].advantages, &expected);
    let returns: Vec<f64> = expected.iter().enumerate().map(|(t, a)| a + value(t)).collect();
    close(&rollouts[0].returns, &returns);
}

#[test]
fn rewards_of_ppo_count_from_those_of_the_other_answers() {
    let ppo = Ppo { lambda: 1.0, gamma: 1.0, value_weight: 0.1, value_clip: 0.2, whiten: false, leave_one_out: true };
    let mut rollouts: Vec<Rollout> =
        [3.0, 1.0, 2.0].iter().map(|&reward| rollout(reward, &[-1.0], &[-1.0], &[0.5])).collect();
    ppo.advantages(&mut rollouts, 3, 0.1);
    for (rollout, expected) in rollouts.iter().zip([1.5, -1.5, 0.0]) {
        close(&rollout.advantages, &[expected - 0.5]);
    }
}

fn matrix(values: [[f32; 2]; 2]) -> Tensor<2> {
    Tensor::from_floats(values, &training_device())
}

#[test]
fn the_objective_is_clipped_and_its_divergence_is_nothing_at_first() {
    let now = [[-1.0, -0.5], [-2.0, 0.0]];
    let tokens = |old, reference| Tokens {
        now: matrix(now),
        old: matrix(old),
        reference: matrix(reference),
        advantages: matrix([[1.0, -2.0], [3.0, 0.0]]),
        mask: matrix([[1.0, 1.0], [1.0, 0.0]]),
    };
    let losses = |tokens: &Tokens, kl| tokens.losses(0.2, kl).into_data_as::<f32>().try_to_vec::<f32>().unwrap();
    let first = tokens(now, now);
    let divergence = first.divergence().into_data_as::<f32>().try_to_vec::<f32>().unwrap();
    assert!(divergence.iter().all(|&x| x == 0.0), "{divergence:?}");
    close(&losses(&first, 5.0), &[0.5, -3.0]);
    // Ratios e^0.5 and e^-1 and e^1: beyond 1.2 and below 0.8.
    let later = tokens([[-1.5, 0.5], [-3.0, 0.0]], now);
    close(&losses(&later, 0.0), &[0.2, -3.6]);
    assert!((later.clipped(0.2) - 1.0).abs() < 1e-9);
}

#[test]
fn answers_are_judged_by_what_they_say() {
    let table = RewardTable { contains: 0.25, per_token: 0.01, ..RewardTable::default() };
    let judged = Judged { answer: "The Mill".into(), none_of: vec!["4482".into()], ..Judged::default() };
    let judge =
        |text: &str, finished| table.judge(&Rollout { ids: vec![1, 2], finished, ..Rollout::default() }, text, &judged);
    for (text, finished, expected) in [
        ("mill.", true, 1.0),
        ("It is the mill", true, 0.25),
        ("a bakery", true, 0.0),
        ("mill", false, -1.0),
        ("the mill, and 4482", true, -1.0),
        ("", true, 0.0),
    ] {
        assert!((judge(text, finished) - (expected - 0.02)).abs() < 1e-12, "{text:?}");
    }
}
