//! Losses of preferences beside those of the TRL library (`fixtures/scripts/preference_fixture.py`).

use inkstone_nn::{Tensor, training_device};
use inkstone_train::preference::{Answers, LossTable};
use serde_json::{Value, json};

/// Both sides compute in f32 on numbers of a few units.
const TOLERANCE: f32 = 1e-5;

fn oracle() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/preference/losses.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

fn vector(values: &[f32]) -> Tensor<1> {
    Tensor::from_floats(values, &training_device())
}

fn table(method: &str) -> LossTable {
    let settings = match method {
        "dpo" => json!({"method": "dpo", "beta": 0.3}),
        "ipo" => json!({"method": "ipo", "tau": 0.7}),
        "kto" => json!({"method": "kto", "beta": 0.2}),
        "orpo" => json!({"method": "orpo", "lambda": 0.25}),
        _ => json!({"method": "simpo", "beta": 2.5, "gamma": 0.6}),
    };
    serde_json::from_value(settings).unwrap()
}

#[test]
fn losses_and_gradients_are_those_of_trl() {
    let oracle = oracle();
    let [policy, reference, lengths] = ["policy", "reference", "lengths"].map(|key| floats(&oracle[key]));
    let side = |tensor: &Tensor<1>, from: usize| tensor.clone().narrow(0, from, 3);
    let mismatched = Answers {
        policy: vector(&floats(&oracle["mismatched"])),
        reference: vector(&floats(&oracle["mismatched_reference"])),
        lengths: vector(&lengths),
    };
    for (method, expected) in oracle["losses"].as_object().unwrap() {
        let (policy, reference) = (vector(&policy).require_grad(), vector(&reference));
        let part = |from| Answers {
            policy: side(&policy, from),
            reference: side(&reference, from),
            lengths: side(&vector(&lengths), from),
        };
        let loss = table(method).loss().losses(&part(0), &part(3), &mismatched).mean();
        let gradient = policy.grad(&loss.backward()).unwrap().into_data().try_to_vec::<f32>().unwrap();
        let got = loss.into_data_as::<f32>().try_to_vec::<f32>().unwrap()[0];
        let wanted = expected["loss"].as_f64().unwrap() as f32;
        assert!((got - wanted).abs() <= TOLERANCE, "{method}: the loss is {got}, expected {wanted}");
        for (got, wanted) in gradient.iter().zip(floats(&expected["gradient"])) {
            assert!((got - wanted).abs() <= TOLERANCE, "{method}: a gradient is {got}, expected {wanted}");
        }
    }
}

#[test]
fn a_policy_that_is_its_reference_has_the_loss_of_a_coin() {
    let same =
        || Answers { policy: vector(&[-3.0, -9.0]), reference: vector(&[-3.0, -9.0]), lengths: vector(&[2.0, 4.0]) };
    let loss = table("dpo").loss().losses(&same(), &same(), &same()).mean();
    let got = loss.into_data_as::<f32>().try_to_vec::<f32>().unwrap()[0];
    assert!((f64::from(got) - std::f64::consts::LN_2).abs() < 1e-7, "{got}");
}
