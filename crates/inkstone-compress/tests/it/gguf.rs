use inkstone_compress::CompressError;
use inkstone_compress::quantise::{Method, Target};
use inkstone_nn::{BlockFormat, device};

use super::{drawn, fixture, load, logits, through_a_file};

const IDS: [u32; 12] = [3, 1, 4, 15, 9, 26, 5, 35, 8, 9, 7, 9];

/// Row orders, fused projections, transposed weights, settings: all of it must be undone exactly.
#[test]
fn a_file_in_single_precision_computes_what_the_folder_computes() {
    let names = [
        "llama_tiny_tied",
        "llama_tiny_untied",
        "linear_tiny",
        "mistral_tiny",
        "gpt2_tiny",
        "bloom_tiny",
        "baichuan_7b_tiny",
    ];
    for name in names {
        let folder = fixture(name);
        let file = through_a_file(&folder, Target::F32, &Method::Nearest);
        let expected = logits(&load(&folder), &IDS);
        assert!(logits(&file.load(&device()).unwrap(), &IDS) == expected, "{name}");
        let again = tempfile::tempdir().unwrap();
        file.load_dense(&device()).unwrap().save(again.path()).unwrap();
        assert!(logits(&load(again.path()), &IDS) == expected, "{name}: as a folder again");
    }
}

/// Factors of the rotary frequencies are a tensor of the file, and the quotients of a quotient.
#[test]
fn frequencies_that_change_each_in_its_own_way_go_through_a_file() {
    let folder = fixture("llama3_tiny");
    let file = through_a_file(&folder, Target::F32, &Method::Nearest);
    assert!(file.file().contains("rope_freqs.weight"));
    let ids: Vec<u32> = IDS.into_iter().cycle().take(60).collect();
    let (got, expected) = (logits(&file.load(&device()).unwrap(), &ids), logits(&load(&folder), &ids));
    assert!(got.iter().zip(&expected).all(|(x, y)| (x - y).abs() < 1e-4));
    let again = tempfile::tempdir().unwrap();
    file.load_dense(&device()).unwrap().save(again.path()).unwrap();
    let file = through_a_file(again.path(), Target::F32, &Method::Nearest);
    assert!(logits(&file.load(&device()).unwrap(), &ids).iter().zip(&expected).all(|(x, y)| (x - y).abs() < 1e-4));
}

/// Baichuan 2 divides the rows of its head by their lengths; in a file that is done once for all.
#[test]
fn a_normalised_head_is_written_as_it_is_used() {
    let folder = fixture("baichuan2_13b_tiny");
    let file = through_a_file(&folder, Target::F32, &Method::Nearest);
    let (got, expected) = (logits(&file.load(&device()).unwrap(), &IDS), logits(&load(&folder), &IDS));
    assert!(got.iter().zip(&expected).all(|(x, y)| (x - y).abs() < 1e-5));
}

#[test]
fn blocks_are_nearly_the_folder_and_stay_blocks() {
    let folder = drawn(256);
    let expected = logits(&load(folder.path()), &IDS);
    let error = |format| {
        let file = through_a_file(folder.path(), Target::Blocks(format), &Method::Nearest);
        let model = file.load(&device()).unwrap();
        let mut dense = Vec::new();
        model.visit_parameters(&mut |name, _, _| dense.push(name.to_owned()));
        assert!(dense.iter().all(|name| name.ends_with("norm.weight")), "{dense:?}");
        let square = |x: f32| f64::from(x).powi(2);
        let got = logits(&model, &IDS);
        let off: f64 = got.iter().zip(&expected).map(|(x, y)| square(x - y)).sum();
        (off / expected.iter().map(|&y| square(y)).sum::<f64>()).sqrt()
    };
    let bounds = [
        (BlockFormat::Q8_0, 0.06),
        (BlockFormat::Q6_K, 0.15),
        (BlockFormat::Q5_K, 0.3),
        (BlockFormat::Q4_K, 0.5),
        (BlockFormat::Q4_0, 0.6),
    ];
    for (format, bound) in bounds {
        let error = error(format);
        assert!(error < bound, "{}: {error}", format.name());
    }
}

#[test]
fn a_token_at_a_time_gives_what_all_at_once_gives() {
    let folder = drawn(64);
    let model =
        through_a_file(folder.path(), Target::Blocks(BlockFormat::Q8_0), &Method::Nearest).load(&device()).unwrap();
    let all = logits(&model, &IDS);
    let mut cache = model.cache(IDS.len());
    for (n, &id) in IDS.iter().enumerate() {
        let last = model.last_logits(&[id], &mut cache);
        let expected = &all[n * 96..(n + 1) * 96];
        assert!(last.iter().zip(expected).all(|(x, y)| (x - y).abs() < 2e-2), "position {n}");
    }
}

#[test]
fn rows_that_do_not_fill_blocks_get_others() {
    // Width 64: blocks of 256 don't fit, those of 32 do.
    let file = through_a_file(drawn(64).path(), Target::Blocks(BlockFormat::Q4_K), &Method::Nearest);
    let kind = |name: &str| file.file().tensor(name).unwrap().kind.name;
    assert_eq!((kind("blk.0.attn_q.weight"), kind("blk.0.attn_norm.weight")), ("q8_0", "f32"));
    let file = through_a_file(drawn(256).path(), Target::Blocks(BlockFormat::Q4_K), &Method::Nearest);
    let kind = |name: &str| file.file().tensor(name).unwrap().kind.name;
    assert_eq!((kind("blk.0.attn_q.weight"), kind("token_embd.weight")), ("q4_k", "q6_k"));
}

/// A folder of T5 whose distances are those that files take for granted.
fn usual_t5(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture(name).join(file), folder.path().join(file)).unwrap();
    }
    let path = folder.path().join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["relative_attention_max_distance"] = 128.into();
    std::fs::write(&path, config.to_string()).unwrap();
    folder
}

#[test]
fn encoder_decoders_go_through_a_file() {
    for name in ["t5_tiny", "t5_gated_tiny"] {
        let folder = usual_t5(name);
        let file = through_a_file(folder.path(), Target::F32, &Method::Nearest);
        let answer = |model: &inkstone_models::Model| {
            let source = inkstone_models::Source { ids: &IDS, lengths: None };
            model.last_logits_after(Some(source), &[0, 5, 7], &mut model.cache(0))
        };
        assert!(answer(&file.load(&device()).unwrap()) == answer(&load(folder.path())), "{name}");
    }
    let folder = inkstone_formats::hf::ModelFolder::open(&fixture("t5_tiny")).unwrap();
    let (tokenizer, target, method) = (None, Target::F32, &Method::Nearest);
    let what = inkstone_compress::gguf::Export { folder: &folder, tokenizer, target, method };
    let error =
        inkstone_compress::gguf::export(&what, std::path::Path::new("unused.gguf"), &mut |_, _| {}).unwrap_err();
    assert!(matches!(&error, CompressError::Entry { key, .. } if key == "relative_attention_max_distance"), "{error}");
}

#[test]
fn what_is_unknown_is_refused_by_name() {
    let folder = inkstone_formats::hf::ModelFolder::open(&fixture("bert_tiny")).unwrap();
    let what = inkstone_compress::gguf::Export {
        folder: &folder,
        tokenizer: None,
        target: Target::F32,
        method: &Method::Nearest,
    };
    let error =
        inkstone_compress::gguf::export(&what, std::path::Path::new("unused.gguf"), &mut |_, _| {}).unwrap_err();
    assert!(matches!(&error, CompressError::Architecture { got, .. } if got == "bert"), "{error}");
    // A window on some blocks alone has no entry in GGUF.
    let folder = inkstone_formats::hf::ModelFolder::open(&fixture("qwen2_tiny")).unwrap();
    let what = inkstone_compress::gguf::Export { folder: &folder, ..what };
    let error =
        inkstone_compress::gguf::export(&what, std::path::Path::new("unused.gguf"), &mut |_, _| {}).unwrap_err();
    assert!(matches!(&error, CompressError::Entry { key, .. } if key == "use_sliding_window"), "{error}");
    // The file of the gguf package has an embedding and a norm, and no blocks.
    let file = inkstone_compress::gguf::GgufModel::open(&fixture("quantised/tiny.gguf"));
    let error = file.and_then(|file| file.load(&device()).map(drop)).unwrap_err();
    assert!(matches!(error, CompressError::Model(_)), "{error}");
}
