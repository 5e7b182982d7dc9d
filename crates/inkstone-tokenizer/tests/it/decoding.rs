//! Text from ids that come one at a time.

use inkstone_tokenizer::{Algorithm, Tokenizer};

use crate::support::{ALL, trained};

fn stream(tokenizer: &Tokenizer, ids: &[u32]) -> (Vec<String>, String) {
    let mut decoder = tokenizer.decoder();
    let pieces: Vec<String> = ids.iter().filter_map(|&id| decoder.push(id)).collect();
    let rest = decoder.finish().unwrap_or_default();
    let whole = pieces.concat() + &rest;
    (pieces, whole)
}

#[test]
fn characters_are_never_split() {
    for algorithm in [Algorithm::Byte, Algorithm::Bpe, Algorithm::Unigram] {
        let tokenizer = trained(algorithm);
        let text = "家 🎉👩‍👧 𠮷野家 naïve";
        let ids = tokenizer.encode(text).unwrap();
        let (pieces, whole) = stream(&tokenizer, &ids);
        assert_eq!(whole, text);
        assert!(pieces.iter().all(|piece| !piece.contains('\u{FFFD}')), "{pieces:?}");
        assert!(pieces.len() > 8, "text comes as soon as it is whole: {pieces:?}");
    }
}

#[test]
fn spaces_are_those_of_the_whole_text() {
    for algorithm in ALL {
        let tokenizer = trained(algorithm);
        let ids = tokenizer.encode("Anna Reed paints the old bridge. It's 1837!").unwrap();
        let (_, whole) = stream(&tokenizer, &ids);
        assert_eq!(whole, tokenizer.decode(&ids).unwrap(), "{algorithm:?}");
    }
}

#[test]
fn broken_bytes_do_not_hold_back_what_follows() {
    let tokenizer = trained(Algorithm::Byte);
    // 0xFF, then the four bytes of an emoji, then a cut character, then a letter.
    let ids: Vec<u32> = [&[0xFF][..], "😀".as_bytes(), &[0xE4, 0xBD], b"a", &[0xF0, 0x9F]]
        .concat()
        .into_iter()
        .map(u32::from)
        .collect();
    let (pieces, whole) = stream(&tokenizer, &ids);
    assert_eq!(whole, "\u{FFFD}😀\u{FFFD}a\u{FFFD}");
    assert_eq!(whole, tokenizer.decode(&ids).unwrap());
    assert_eq!(pieces.concat(), "\u{FFFD}😀\u{FFFD}a");
}

#[test]
fn special_and_unknown_ids_give_no_text() {
    let tokenizer = trained(Algorithm::Bpe);
    let mut decoder = tokenizer.decoder();
    assert_eq!(decoder.push(tokenizer.eos().unwrap()), None);
    assert_eq!(decoder.push(u32::MAX), None);
    assert_eq!(decoder.push(tokenizer.encode("a").unwrap()[0]), Some("a".to_owned()));
    assert!(tokenizer.decode(&[u32::MAX]).is_err());
    assert_eq!(tokenizer.decode(&[tokenizer.eos().unwrap()]).unwrap(), "");
}
