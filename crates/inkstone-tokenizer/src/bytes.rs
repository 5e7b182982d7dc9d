//! The bytes that a token stands for.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::tokenizer::Tokenizer;

/// The byte of each character of the byte-level alphabet (GPT-2): printable ones of Latin-1 stand for themselves, the others
/// follow from U+0100 on.
static BYTE_LEVEL: LazyLock<HashMap<char, u8>> = LazyLock::new(|| {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut other = 0x100;
    let character = |byte: u8| {
        if printable(byte) {
            return char::from(byte);
        }
        other += 1;
        char::from_u32(other - 1).unwrap_or(char::REPLACEMENT_CHARACTER)
    };
    (0..=255).map(character).zip(0..=255).collect()
});

impl Tokenizer {
    /// The bytes that a token adds to a text, which may be a part of a character; those of its name for a special token.
    /// `None`: no such token.
    pub fn token_bytes(&self, id: u32) -> Option<Vec<u8>> {
        let token = self.token(id)?;
        if self.is_special(id) {
            return Some(token.into_bytes());
        }
        match self.alphabet() {
            Alphabet::ByteLevel => {
                let known: Option<Vec<u8>> = token.chars().map(|c| BYTE_LEVEL.get(&c).copied()).collect();
                Some(known.unwrap_or_else(|| token.into_bytes()))
            }
            Alphabet::Spaces => {
                Some(fallback_byte(&token).map_or_else(|| token.replace('▁', " ").into_bytes(), |b| vec![b]))
            }
            Alphabet::Pieces => Some(match token.strip_prefix("##") {
                Some(rest) => rest.as_bytes().to_vec(),
                None => format!(" {token}").into_bytes(),
            }),
        }
    }

    fn alphabet(&self) -> Alphabet {
        let decoder = self.plain.get_decoder().and_then(|decoder| serde_json::to_string(decoder).ok());
        match decoder {
            Some(decoder) if decoder.contains("\"ByteLevel\"") => Alphabet::ByteLevel,
            Some(decoder) if decoder.contains("\"WordPiece\"") => Alphabet::Pieces,
            _ => Alphabet::Spaces,
        }
    }
}

/// How tokens are written.
enum Alphabet {
    /// One character for each byte.
    ByteLevel,
    /// As text, `▁` for a space, `<0x0A>` for a byte.
    Spaces,
    /// As text, `##` where no space stands before.
    Pieces,
}

fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>').filter(|digits| digits.len() == 2)?;
    u8::from_str_radix(digits, 16).ok()
}
