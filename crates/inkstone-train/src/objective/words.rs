//! Which tokens make up a word. English words stand between spaces and punctuation; Chinese ones are found by a dictionary
//! (arXiv:1906.08101, section 2).

use std::ops::Range;

use inkstone_tokenizer::Tokenizer;
use jieba_rs::Jieba;

/// The words of a tokenizer's texts.
pub(crate) struct Words {
    /// The bytes of each token; none for a special one.
    bytes: Vec<Option<Vec<u8>>>,
    /// Finds Chinese words; without it every token is a word.
    dictionary: Option<Jieba>,
}

impl Words {
    /// Words of whole tokens where `whole`, else every token for itself.
    pub(crate) fn new(tokenizer: &Tokenizer, whole: bool) -> Self {
        let bytes_of = |id| if tokenizer.is_special(id) { None } else { tokenizer.token_bytes(id) };
        let bytes = (0..tokenizer.vocab_size() as u32).map(bytes_of).collect();
        Self { bytes, dictionary: whole.then(Jieba::new) }
    }

    /// The words of `ids`, in their order, as ranges of positions; special tokens belong to none.
    pub(crate) fn of(&self, ids: &[u32]) -> Vec<Range<usize>> {
        let mut words = Vec::new();
        let mut from = 0;
        while from < ids.len() {
            let to = ids[from..].iter().position(|&id| self.text(id).is_none()).map_or(ids.len(), |at| from + at);
            self.add_words(ids, from..to, &mut words);
            from = to + 1;
        }
        words
    }

    /// Whether a token is no part of a text.
    pub(crate) fn is_special(&self, id: u32) -> bool {
        self.text(id).is_none()
    }

    /// Whether a sentence ends with the token.
    pub(crate) fn ends_sentence(&self, id: u32) -> bool {
        let text = self.text(id).map(String::from_utf8_lossy).unwrap_or_default();
        text.contains('\n')
            || text.trim_end().ends_with(['.', '!', '?', '\u{3002}', '\u{ff01}', '\u{ff1f}', '\u{2026}'])
    }

    fn text(&self, id: u32) -> Option<&[u8]> {
        self.bytes.get(id as usize)?.as_deref()
    }

    fn add_words(&self, ids: &[u32], range: Range<usize>, words: &mut Vec<Range<usize>>) {
        let Some(dictionary) = &self.dictionary else {
            words.extend(range.map(|at| at..at + 1));
            return;
        };
        let mut bytes = Vec::new();
        let mut begins = Vec::new();
        for at in range.clone() {
            let token = self.text(ids[at]).unwrap_or_default();
            let spaces = token.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            begins.push(bytes.len() + spaces);
            bytes.extend_from_slice(token);
        }
        let borders = borders(dictionary, &same_length(&bytes));
        for (at, begin) in range.zip(begins) {
            match words.last_mut() {
                Some(word) if word.end == at && borders.binary_search(&begin).is_err() => word.end = at + 1,
                _ => words.push(at..at + 1),
            }
        }
    }
}

/// The bytes where words begin, rising.
fn borders(dictionary: &Jieba, text: &str) -> Vec<usize> {
    let mut at = 0;
    let mut borders = Vec::new();
    for word in dictionary.cut(text, false) {
        borders.push(at);
        at += word.word.len();
    }
    borders
}

/// As text, with a question mark for each byte of a broken character.
fn same_length(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(std::iter::repeat_n('?', chunk.invalid().len()));
    }
    text
}

#[cfg(test)]
impl Words {
    /// Tokens that are one letter each, and words of their own; ids from `n` on are special.
    pub(crate) fn of_letters(n: usize) -> Self {
        Self { bytes: vec![Some(b"x".to_vec()); n], dictionary: None }
    }
}

#[cfg(test)]
mod tests {
    use jieba_rs::Jieba;

    use super::Words;

    /// The words of a text whose tokens are `tokens`.
    fn words(tokens: &[&[u8]]) -> Vec<String> {
        let bytes = tokens.iter().map(|token| Some(token.to_vec())).collect();
        let words = Words { bytes, dictionary: Some(Jieba::new()) };
        let ids: Vec<u32> = (0..tokens.len() as u32).collect();
        let text = |word: std::ops::Range<usize>| {
            let bytes: Vec<u8> = tokens[word].concat();
            String::from_utf8_lossy(&bytes).trim().to_owned()
        };
        words.of(&ids).into_iter().map(text).collect()
    }

    #[test]
    fn parts_of_english_words_belong_together() {
        let tokens: [&[u8]; 8] = [b"The", b" ink", b"stone", b" is", b" hea", b"vi", b"er", b"."];
        assert_eq!(words(&tokens), ["The", "inkstone", "is", "heavier", "."]);
    }

    #[test]
    fn characters_and_their_bytes_belong_to_chinese_words() {
        let text = "\u{6211}\u{559c}\u{6b22}\u{5317}\u{4eac}";
        let mut tokens: Vec<Vec<u8>> = text.chars().map(|c| c.to_string().into_bytes()).collect();
        let broken = tokens.pop().expect("five characters");
        tokens.extend([broken[..1].to_vec(), broken[1..].to_vec()]);
        let tokens: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
        assert_eq!(words(&tokens), ["\u{6211}", "\u{559c}\u{6b22}", "\u{5317}\u{4eac}"]);
    }
}
