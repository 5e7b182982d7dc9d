use inkstone_compress::CompressError;
use inkstone_compress::quantise::{Method, Statistics, Target, calibrate, judge};
use inkstone_formats::hf::ModelFolder;
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
