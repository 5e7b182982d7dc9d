//! What is learnt.

use inkstone_recipe::Stage;
use inkstone_tokenizer::{Algorithm, TokenizerError, TokenizerStage};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::{PreTokenizedString, PreTokenizer, Trainer};

use crate::support::{ALL, config, texts, trained, try_train};

#[test]
fn the_vocabulary_has_the_size_asked_for() {
    for algorithm in ALL {
        let tokenizer = trained(algorithm);
        let expected = config(algorithm).vocab_size;
        assert_eq!(tokenizer.vocab_size(), expected.unwrap_or(tokenizer.vocab_size()));
        let names = ["<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>"];
        let ids: Vec<u32> = names.map(|name| tokenizer.token_id(name).unwrap()).into();
        let first = tokenizer.vocab_size() as u32 - 4;
        assert_eq!(ids, [first, first + 1, first + 2, first + 3], "{algorithm:?}");
        assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.pad()), (Some(first), Some(first), Some(first + 1)));
        assert_eq!(tokenizer.stop_ids(), [first, first + 3]);
    }
    assert_eq!(trained(Algorithm::Byte).vocab_size(), 260);
}

#[test]
fn too_large_a_vocabulary_is_refused_with_what_there_is() {
    for algorithm in [Algorithm::Bpe, Algorithm::Wordpiece, Algorithm::Unigram] {
        let mut config = config(algorithm);
        config.vocab_size = Some(100_000);
        let error = try_train(&config, &texts()).unwrap_err();
        let TokenizerError::VocabularyTooLarge { asked: 100_000, available } = error else {
            panic!("{algorithm:?}: {error}");
        };
        assert!(error.hint().unwrap().contains(&available.to_string()));
        if algorithm != Algorithm::Unigram {
            config.vocab_size = Some(available);
            assert_eq!(try_train(&config, &texts()).unwrap().vocab_size(), available);
        }
    }
}

#[test]
fn the_proposed_unigram_vocabulary_works() {
    let mut config = config(Algorithm::Unigram);
    config.vocab_size = Some(100_000);
    let Err(TokenizerError::VocabularyTooLarge { available, .. }) = try_train(&config, &texts()) else {
        panic!("there are no 100,000 pieces");
    };
    config.vocab_size = Some(available);
    assert_eq!(try_train(&config, &texts()).unwrap().vocab_size(), available);
}

#[test]
fn too_small_a_vocabulary_is_refused() {
    for algorithm in [Algorithm::Bpe, Algorithm::Wordpiece, Algorithm::Unigram] {
        let mut config = config(algorithm);
        config.vocab_size = Some(5);
        let error = try_train(&config, &texts()).unwrap_err();
        assert!(matches!(error, TokenizerError::VocabularyTooSmall { asked: 5, .. }), "{error}");
    }
}

#[test]
fn no_text_is_refused() {
    for algorithm in [Algorithm::Bpe, Algorithm::Unigram, Algorithm::Wordpiece, Algorithm::Character] {
        for texts in [vec![], vec![String::new()]] {
            let error = try_train(&config(algorithm), &texts).unwrap_err();
            assert!(matches!(error, TokenizerError::NoText), "{algorithm:?}: {error}");
        }
    }
}

#[test]
fn settings_that_can_not_work_are_refused() {
    let refused = |change: &dyn Fn(&mut inkstone_tokenizer::TokenizerConfig), field: &str| {
        let mut config = config(Algorithm::Bpe);
        change(&mut config);
        let reason = TokenizerStage::validate(&config).unwrap_err();
        assert!(reason.starts_with(&format!("`{field}`")), "{reason}");
    };
    refused(&|c| c.vocab_size = None, "vocab_size");
    refused(&|c| c.vocab_size = Some(1 << 30), "vocab_size");
    refused(&|c| c.algorithm = Algorithm::Byte, "vocab_size");
    refused(&|c| c.min_frequency = 0, "min_frequency");
    refused(&|c| c.sample_bytes = 0, "sample_bytes");
    for token in ["砚", "the", "a b", "<|", "", "< a>", "<|a"] {
        refused(&|c| c.special_tokens = vec![token.to_owned()], "special_tokens");
    }
}

/// The merges are those of the library's own trainer, which is slower to trust: it walks over hash
/// maps with random seeds.
#[test]
fn merges_are_those_of_the_library() {
    let json: serde_json::Value = {
        let folder = tempfile::tempdir().unwrap();
        trained(Algorithm::Bpe).save(folder.path()).unwrap();
        serde_json::from_slice(&std::fs::read(folder.path().join("tokenizer.json")).unwrap()).unwrap()
    };
    let ours = tokenizers::Tokenizer::from_bytes(json.to_string()).unwrap();
    let mut trainer = BpeTrainer::builder()
        .show_progress(false)
        .min_frequency(2)
        .vocab_size(416)
        .initial_alphabet(tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().collect())
        .build();
    let words = |text: &str| {
        let mut words = PreTokenizedString::from(text);
        ours.get_pre_tokenizer().unwrap().pre_tokenize(&mut words)?;
        let splits = words.get_splits(tokenizers::OffsetReferential::Normalized, tokenizers::OffsetType::None);
        Ok(splits.into_iter().map(|(word, ..)| word.to_owned()).collect())
    };
    trainer.feed(texts().iter(), words).unwrap();
    let mut model = BPE::default();
    trainer.train(&mut model).unwrap();
    let mut theirs: Vec<String> = model.get_vocab().into_keys().collect();
    let mut learnt: Vec<String> = json["model"]["vocab"].as_object().unwrap().keys().cloned().collect();
    theirs.sort();
    learnt.sort();
    assert_eq!(learnt, theirs);
}
