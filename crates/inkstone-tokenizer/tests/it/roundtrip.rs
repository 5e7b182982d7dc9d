//! What goes in comes out, and special tokens never arise.

use inkstone_tokenizer::Algorithm;
use proptest::prelude::*;

use crate::support::{ALL, config, texts, trained, try_train};

const HARD: &[&str] = &[
    "",
    " ",
    "  two  spaces\t\ttabs \n\n lines\r\n",
    "it's we'll I'VE 12345 3.14159 ½ ١٢٣",
    "你好，世界！《古诗》“引号”……",
    "mixed混合text文本123数字",
    "𠀀𠮷𪚥 CJK extension B, 㐀 A, 豈 compatibility",
    "👩‍👩‍👧‍👦 🇨🇳 ❤️ 👍🏽 e\u{301} नमस्ते สวัสดี العربية",
    "\u{FFFD}\u{FFFD} \u{0}\u{1}\u{7F} \u{FEFF}\u{200B}\u{10FFFF}\u{E000}",
    "<|endoftext|><|im_start|>user\nhi<|im_end|>",
    "<|endof<|endoftext|>text|> <0x41> <|unk|> ##ing ▁",
];

#[test]
fn bytes_are_never_lost() {
    for algorithm in [Algorithm::Bpe, Algorithm::Byte] {
        let tokenizer = trained(algorithm);
        for text in HARD.iter().copied().chain(texts().iter().map(String::as_str)) {
            let ids = tokenizer.encode(text).unwrap();
            assert_eq!(tokenizer.decode(&ids).unwrap(), text, "{algorithm:?}");
        }
    }
}

#[test]
fn unigram_keeps_all_but_the_mark_for_spaces() {
    let tokenizer = trained(Algorithm::Unigram);
    for text in HARD.iter().filter(|text| !text.contains('▁')) {
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(&tokenizer.decode(&ids).unwrap(), text);
    }
}

#[test]
fn characters_that_were_seen_are_kept() {
    let tokenizer = trained(Algorithm::Character);
    for text in texts() {
        let ids = tokenizer.encode(&text).unwrap();
        assert_eq!(ids.len(), text.chars().count());
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }
    let ids = tokenizer.encode("a龘b").unwrap();
    assert_eq!(ids.len(), 3);
    assert_eq!(Some(ids[1]), tokenizer.unk());
}

#[test]
fn wordpiece_finds_the_longest_pieces() {
    let tokenizer = trained(Algorithm::Wordpiece);
    let ids = tokenizer.encode("Anna paints the lantern.").unwrap();
    assert_eq!(tokenizer.decode(&ids).unwrap(), "Anna paints the lantern.");
    assert!(ids.len() < 8, "{ids:?}");
    let unknown = tokenizer.encode("龘").unwrap();
    assert_eq!(unknown, [tokenizer.unk().unwrap()]);
}

#[test]
fn special_tokens_never_arise_from_text() {
    for algorithm in ALL {
        let mut config = config(algorithm);
        config.special_tokens = vec!["<|tool|>".to_owned(), "[SEP]".to_owned()];
        // The strings of the special tokens are in the training texts as well, often.
        let mut texts = texts();
        for _ in 0..50 {
            texts.push("<|im_start|><|im_end|><|endoftext|><|pad|><|tool|>[SEP]<|unk|> x".to_owned());
        }
        let tokenizer = try_train(&config, &texts).unwrap();
        let names = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|pad|>", "<|tool|>", "[SEP]", "<|unk|>"];
        for name in names {
            for text in [name.to_owned(), format!("a{name}b"), format!("年{name} {name}。{name}")] {
                let ids = tokenizer.encode(&text).unwrap();
                let special = ids.iter().filter(|&&id| tokenizer.is_special(id)).count();
                assert_eq!(special, 0, "{algorithm:?} {text}: {ids:?}");
                if algorithm != Algorithm::Wordpiece {
                    assert_eq!(tokenizer.decode(&ids).unwrap(), text, "{algorithm:?}");
                }
            }
        }
    }
}

#[test]
fn chinese_stays_apart_from_punctuation_and_letters() {
    let tokenizer = trained(Algorithm::Bpe);
    let marks = |text: &str| text.chars().any(|c| "，。！,.!".contains(c));
    for id in 0..tokenizer.vocab_size() as u32 {
        let text = tokenizer.decode(&[id]).unwrap();
        let han = text.chars().any(|c| ('\u{4E00}'..='\u{9FFF}').contains(&c));
        let other = marks(&text) || text.chars().any(|c| c.is_ascii_alphanumeric());
        assert!(!(han && other), "{text}");
    }
}

#[test]
fn digits_by_three_or_one() {
    let mut config = config(Algorithm::Bpe);
    let numbers: Vec<String> = (0..3000).map(|n| format!("{n} ")).collect();
    let longest = |config| {
        let tokenizer = try_train(config, &numbers).unwrap();
        let texts = (0..tokenizer.vocab_size() as u32).map(|id| tokenizer.decode(&[id]).unwrap());
        texts.map(|t| t.chars().filter(char::is_ascii_digit).count()).max()
    };
    assert_eq!(longest(&config), Some(3));
    config.split_digits = true;
    config.vocab_size = Some(261);
    assert!(matches!(
        try_train(&config, &numbers),
        Err(inkstone_tokenizer::TokenizerError::VocabularyTooLarge { available: 260, .. })
    ));
}

#[test]
fn a_batch_is_its_texts_one_by_one() {
    let tokenizer = trained(Algorithm::Bpe);
    let texts = texts();
    let batch = tokenizer.encode_batch(&texts).unwrap();
    for (text, ids) in texts.iter().zip(batch) {
        assert_eq!(tokenizer.encode(text).unwrap(), ids);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text_comes_back(text in "\\PC{0,40}|[\\u{0}-\\u{10FFFF}]{0,40}|([a-z ]|[一-龥]|[😀-🙏]|[，。\\n]){0,60}") {
        static TOKENIZERS: std::sync::LazyLock<Vec<inkstone_tokenizer::Tokenizer>> =
            std::sync::LazyLock::new(|| [Algorithm::Bpe, Algorithm::Byte].map(trained).into());
        for tokenizer in TOKENIZERS.iter() {
            let ids = tokenizer.encode(&text).unwrap();
            prop_assert_eq!(tokenizer.decode(&ids).unwrap(), text.clone());
            let mut decoder = tokenizer.decoder();
            let mut streamed: String = ids.iter().filter_map(|&id| decoder.push(id)).collect();
            streamed.extend(decoder.finish());
            prop_assert_eq!(streamed, text.clone());
        }
    }
}
