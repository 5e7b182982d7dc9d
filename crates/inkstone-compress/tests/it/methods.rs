use inkstone_compress::CompressError;
use inkstone_compress::quantise::{Method, Scales, Statistics, Target, calibrate, judge};
use inkstone_formats::hf::{ModelFolder, write_model};
use inkstone_formats::safetensors::TensorView;
use inkstone_nn::{BlockFormat, device};

use super::{drawn, load, through_a_file};

/// Ids of a text in which some follow others often, so that inputs are not all alike.
fn ids(n: u32, seed: u32) -> Vec<u32> {
    (0..n).map(|i| (i * i * (seed + 3) + i / 7 * 5) % 23).collect()
}

#[test]
fn looking_at_the_inputs_loses_less() {
    let path = drawn(128);
    let folder = ModelFolder::open(path.path()).unwrap();
    let before = load(path.path());
    let (seen, unseen) = (ids(2048, 0), ids(512, 5));
    let divergence = |method: &Method| {
        let after = through_a_file(path.path(), Target::Blocks(BlockFormat::Q4_0), method).load(&device()).unwrap();
        judge((&before, &after), (&unseen, 64), &mut |_, _| true).divergence
    };
    let measure = |statistics| calibrate(&folder, (&seen, 64), statistics, &mut |_, _| true).unwrap();
    let nearest = divergence(&Method::Nearest);
    let importance = divergence(&Method::Importance(measure(Statistics::Squares)));
    let gptq = divergence(&Method::Gptq(measure(Statistics::Products)));
    assert!(importance < nearest, "importance {importance}, nearest {nearest}");
    assert!(gptq < 0.8 * nearest, "GPTQ {gptq}, nearest {nearest}");
}

/// Some channels of a norm are ten times as large as the others, as those of trained models are.
fn with_large_channels() -> tempfile::TempDir {
    let folder = drawn(128);
    let model = ModelFolder::open(folder.path()).unwrap();
    let names: Vec<String> = model.names().map(str::to_owned).collect();
    let tensors: Vec<(String, Vec<usize>, Vec<f32>)> = names
        .into_iter()
        .map(|name| {
            let (shape, mut values) = (model.tensor(&name).unwrap().shape.to_vec(), model.f32(&name).unwrap());
            if name.ends_with("layernorm.weight") {
                values.iter_mut().step_by(16).for_each(|x| *x *= 10.0);
            }
            (name, shape, values)
        })
        .collect();
    let views: Vec<_> =
        tensors.iter().map(|(name, shape, values)| (name.clone(), TensorView::f32(shape, values))).collect();
    let out = tempfile::tempdir().unwrap();
    write_model(out.path(), model.config(), None, &views, u64::MAX).unwrap();
    out
}

#[test]
fn scaled_weights_are_the_same_model_and_lose_less() {
    let path = with_large_channels();
    let folder = ModelFolder::open(path.path()).unwrap();
    let before = load(path.path());
    let (seen, unseen) = (ids(2048, 0), ids(512, 5));
    let squares = || calibrate(&folder, (&seen, 64), Statistics::Squares, &mut |_, _| true).unwrap();
    let target = Target::Blocks(BlockFormat::Q4_0);
    let awq = || Method::Awq(Scales::choose(&folder, squares(), target).unwrap());
    let divergence = |target: Target, method: &Method| {
        let after = through_a_file(path.path(), target, method).load(&device()).unwrap();
        judge((&before, &after), (&unseen, 64), &mut |_, _| true).divergence
    };
    assert!(divergence(Target::F32, &awq()) < 1e-6, "in single precision nothing changes");
    let (nearest, scaled) = (divergence(target, &Method::Nearest), divergence(target, &awq()));
    assert!(scaled < 0.8 * nearest, "AWQ {scaled}, nearest {nearest}");
    let error = Scales::choose(&folder, squares(), Target::F32).unwrap_err();
    assert!(error.to_string().contains("awq"), "{error}");
}

#[test]
fn a_model_does_not_diverge_from_itself() {
    let path = drawn(64);
    let model = load(path.path());
    let judged = judge((&model, &model), (&ids(100, 1), 32), &mut |_, _| true);
    // Four rows; the first token of each is not predicted.
    assert_eq!((judged.tokens, judged.divergence, judged.same_top), (96, 0.0, 1.0));
    assert_eq!(judged.loss_before, judged.loss_after);
}

#[test]
fn a_text_that_is_too_short_is_refused() {
    let path = drawn(64);
    let folder = ModelFolder::open(path.path()).unwrap();
    let error = calibrate(&folder, (&[1, 2, 3], 64), Statistics::Squares, &mut |_, _| true).unwrap_err();
    assert!(matches!(error, CompressError::Calibration { got: 3, .. }), "{error}");
}
