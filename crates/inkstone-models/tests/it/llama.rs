use inkstone_models::{Model, ModelError, NoObserver, Observer, Pass, expected_parameters};
use inkstone_nn::{Precision, Tensor, device, training_device};
use serde_json::{Value, json};

fn config(tied: bool) -> Value {
    json!({
        "model_type": "llama", "vocab_size": 50, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": tied, "rope_theta": 500.0, "initializer_range": 0.1,
    })
}

fn model(tied: bool) -> Model {
    Model::init(&config(tied), 3, Precision::F32, &device()).unwrap()
}

fn logits(model: &Model, ids: &[u32], batch: usize, starts: Option<&[u32]>) -> Vec<f32> {
    let mut observer = NoObserver;
    let mut pass = Pass { starts, ..Pass::new(&mut observer) };
    model.forward(ids, batch, &mut pass).into_data_as::<f32>().try_to_vec::<f32>().unwrap()
}

fn ids(n: u32) -> Vec<u32> {
    (0..n).map(|i| i * 7 % 50).collect()
}

#[track_caller]
fn close(got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len());
    assert!(got.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-5), "{got:?}\n{expected:?}");
}

#[test]
fn parameters_have_their_hugging_face_names_and_expected_number() {
    for tied in [true, false] {
        let (mut names, mut count) = (Vec::new(), 0);
        model(tied).visit_parameters(&mut |name, shape, values| {
            assert_eq!(shape.iter().product::<usize>(), values.len());
            names.push(name.to_owned());
            count += values.len() as u64;
        });
        assert_eq!(count, expected_parameters(&config(tied)).unwrap());
        assert_eq!(names[0], "model.embed_tokens.weight");
        assert!(names.contains(&"model.layers.1.self_attn.q_proj.weight".to_owned()));
        assert!(names.contains(&"model.layers.0.post_attention_layernorm.weight".to_owned()));
        assert!(names.contains(&"model.norm.weight".to_owned()));
        assert_eq!(names.contains(&"lm_head.weight".to_owned()), !tied);
    }
}

#[test]
fn a_cache_changes_nothing() {
    let (model, ids) = (model(true), ids(20));
    let all = logits(&model, &ids, 1, None);
    for first in [1, 5, 20] {
        let mut cache = model.cache(20);
        let mut last = model.last_logits(&ids[..first], &mut cache);
        for n in first..20 {
            close(&last, &all[(n - 1) * 50..n * 50]);
            last = model.last_logits(&ids[n..=n], &mut cache);
        }
        close(&last, &all[19 * 50..]);
    }
}

#[test]
fn documents_in_one_row_are_as_if_alone() {
    let (model, ids) = (model(false), ids(12));
    let starts = [0, 0, 0, 0, 0, 5, 5, 5, 5, 5, 5, 5];
    let together = logits(&model, &ids, 1, Some(&starts));
    close(&together[..5 * 50], &logits(&model, &ids[..5], 1, None));
    // Rotary positions are relative, so a document may stand anywhere.
    let alone = logits(&model, &ids[5..], 1, None);
    assert!(together[5 * 50..].iter().zip(&alone).all(|(a, b)| (a - b).abs() < 1e-4));
}

#[test]
fn a_saved_folder_gives_the_same_model_and_the_same_bytes() {
    for tied in [true, false] {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let model = model(tied);
        model.save(one.path()).unwrap();
        let again = Model::load(one.path(), Precision::F32, &device()).unwrap();
        assert_eq!(logits(&model, &ids(9), 1, None), logits(&again, &ids(9), 1, None));
        again.save(two.path()).unwrap();
        for name in ["config.json", "model.safetensors"] {
            assert_eq!(std::fs::read(one.path().join(name)).unwrap(), std::fs::read(two.path().join(name)).unwrap());
        }
    }
}

#[test]
fn a_folder_that_does_not_fit_its_config_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    model(false).save(folder.path()).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut config = config(false);
        change(&mut config);
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        Model::load(folder.path(), Precision::F32, &device()).unwrap_err()
    };
    let error = with(&|config| config["num_hidden_layers"] = 3.into());
    assert!(
        matches!(&error, ModelError::Names { missing, .. } if missing.contains(&"model.layers.2.mlp.up_proj.weight".to_owned())),
        "{error}"
    );
    let error = with(&|config| config["num_hidden_layers"] = 1.into());
    assert!(matches!(&error, ModelError::Names { unexpected, .. } if unexpected.len() == 9), "{error}");
    let error = with(&|config| config["intermediate_size"] = 48.into());
    assert!(
        error.to_string().contains("model.layers.0.mlp.gate_proj.weight has the shape [40, 24], expected [48, 24]"),
        "{error}"
    );
    for (field, value) in [
        ("hidden_act", json!("gelu")),
        ("rope_type", json!(null)),
        ("num_key_value_heads", json!(3)),
        ("vocab_size", json!(0)),
    ] {
        let error = with(&|config| match field {
            "rope_type" => config["rope_scaling"] = json!({"type": "dynamic"}),
            _ => config[field] = value.clone(),
        });
        assert!(error.to_string().contains(field), "{error}");
    }
    let error = with(&|config| config["model_type"] = "mamba".into());
    assert!(error.to_string().contains("llama"), "{error}");
}

struct Recorder(Vec<String>);

impl Observer for Recorder {
    fn observe(&mut self, point: &str, value: Tensor<2>) -> Tensor<2> {
        self.0.push(point.to_owned());
        if point == "layers.0.mlp" { value.zeros_like() } else { value }
    }
}

#[test]
fn an_observer_sees_named_points_and_may_replace_them() {
    let model = model(true);
    let mut recorder = Recorder(Vec::new());
    let mut pass = Pass::new(&mut recorder);
    let changed = model.forward(&ids(4), 1, &mut pass).into_data_as::<f32>().try_to_vec::<f32>().unwrap();
    assert_eq!(
        recorder.0,
        [
            "embeddings",
            "layers.0.attention",
            "layers.0.mlp",
            "layers.0",
            "layers.1.attention",
            "layers.1.mlp",
            "layers.1",
            "norm",
            "logits"
        ]
    );
    assert_ne!(changed, logits(&model, &ids(4), 1, None));
}

/// Loss and all gradients of two rows.
fn step(precision: Precision) -> (f32, Vec<f32>) {
    let model = Model::init(&config(false), 3, precision, &training_device()).unwrap();
    let ids = ids(128);
    let labels: Vec<i32> = ids.iter().map(|&id| if id % 5 == 0 { -100 } else { ((id + 1) % 50) as i32 }).collect();
    let loss = model.loss(&ids, &labels, 2, None);
    let mut gradients = loss.mean.backward();
    let mut all = Vec::new();
    model.visit_gradients(&mut gradients, &mut |_, gradient| all.extend_from_slice(gradient.values()));
    assert_eq!(all.len() as u64, model.n_parameters());
    (loss.mean.into_scalar::<f32>(), all)
}

#[test]
fn loss_and_gradients_are_byte_equal_at_any_number_of_threads() {
    let with = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| step(Precision::F32))
    };
    let one = with(1);
    for threads in [1, 2, 3] {
        assert!(one == with(threads), "{threads} threads gave other bytes than 1");
    }
}

#[test]
fn bf16_stays_near_f32() {
    let ((exact, _), (rounded, _)) = (step(Precision::F32), step(Precision::Bf16));
    assert!(exact != rounded && (exact - rounded).abs() < 0.01, "{exact} and {rounded}");
}

#[test]
fn weights_move_in_place() {
    let model = Model::init(&config(true), 3, Precision::F32, &training_device()).unwrap();
    let address = |model: &Model| {
        let mut all = Vec::new();
        model.visit_parameters(&mut |_, _, values| all.push(values.as_ptr()));
        all
    };
    let before = address(&model);
    let model = model.update_parameters(&mut |_, _, values| values.fill(0.5));
    assert_eq!(before, address(&model));
    model.visit_parameters(&mut |_, _, values| assert!(values.iter().all(|&x| x == 0.5)));
}
