//! BLEU (Papineni et al. 2002; arXiv:1804.08771 for the tokens): the geometric mean of the shares of runs of one to four tokens that
//! the reference has as well, times a penalty for brevity.

use super::{common, ngrams};

const ORDER: usize = 4;

/// How a text is cut into tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BleuTokens {
    /// `13a`, that of the WMT's `mteval-v13a`, for languages with spaces.
    Spaced,
    /// `zh`, where each Chinese character is a token.
    Chinese,
}

/// BLEU with what it is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bleu {
    /// In percent.
    pub score: f64,
    /// The shares of runs of one to four tokens, in percent; what has none is smoothed.
    pub precisions: [f64; ORDER],
    /// 1, or less where the texts are shorter than their references.
    pub brevity: f64,
}

/// BLEU of all texts together, each beside its reference.
pub fn bleu(pairs: &[(&str, &str)], tokens: BleuTokens) -> Bleu {
    let (mut right, mut total, mut lengths) = ([0_u64; ORDER], [0_u64; ORDER], [0_usize; 2]);
    for (text, reference) in pairs {
        let [text, reference] = [text, reference].map(|text| tokens.of(text));
        lengths[0] += text.len();
        lengths[1] += reference.len();
        for n in 1..=ORDER {
            let (ours, theirs) = (ngrams(&text, n), ngrams(&reference, n));
            total[n - 1] += ours.values().sum::<u64>();
            right[n - 1] += common(&ours, &theirs);
        }
    }
    let brevity = if lengths[0] < lengths[1] { (1.0 - lengths[1] as f64 / lengths[0] as f64).exp() } else { 1.0 };
    if right.iter().all(|&count| count == 0) {
        return Bleu { score: 0.0, precisions: [0.0; ORDER], brevity };
    }
    let precisions = precisions(right, total);
    let mean = precisions.iter().map(|precision| precision.ln()).sum::<f64>() / ORDER as f64;
    Bleu { score: brevity * mean.exp(), precisions, brevity }
}

/// In percent; the first order without a match counts as half a match, the next as a quarter (`exp` smoothing).
fn precisions(right: [u64; ORDER], total: [u64; ORDER]) -> [f64; ORDER] {
    let mut precisions = [0.0; ORDER];
    let mut smoothing = 1.0;
    for n in (0..ORDER).take_while(|&n| total[n] > 0) {
        precisions[n] = if right[n] == 0 {
            smoothing *= 2.0;
            100.0 / (smoothing * total[n] as f64)
        } else {
            100.0 * right[n] as f64 / total[n] as f64
        };
    }
    precisions
}

impl BleuTokens {
    fn of(self, text: &str) -> Vec<String> {
        let prepared = match self {
            Self::Spaced => {
                let text = text.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
                let text = text.replace("&quot;", "\"").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
                format!(" {text} ")
            }
            Self::Chinese => apart(text.trim(), is_chinese),
        };
        let text = apart(&prepared, is_mark);
        let text = marks_beside_others(&text);
        text.split_whitespace().map(str::to_owned).collect()
    }
}

/// With spaces around each character that `alone` picks.
fn apart(text: &str, alone: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(2 * text.len());
    for c in text.chars() {
        if alone(c) {
            out.extend([' ', c, ' ']);
        } else {
            out.push(c);
        }
    }
    out
}

/// Marks that are always tokens of their own: all of ASCII but for apostrophe, comma, hyphen and full stop.
fn is_mark(c: char) -> bool {
    matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/')
}

/// Splits full stops and commas off what is no digit on either side, and hyphens off the digit before them; each rule goes over the
/// text from the left and never looks at a character twice, as regular expressions do.
fn marks_beside_others(text: &str) -> String {
    let (digit, point) = (|c: char| c.is_ascii_digit(), |c: char| c == '.' || c == ',');
    let text = pairwise(text, |a, b| !digit(a) && point(b), |a, b| vec![a, ' ', b, ' ']);
    let text = pairwise(&text, |a, b| point(a) && !digit(b), |a, b| vec![' ', a, ' ', b]);
    pairwise(&text, |a, b| digit(a) && b == '-', |a, b| vec![a, ' ', b, ' '])
}

/// Puts `new(a, b)` for each two neighbours that fit.
fn pairwise(text: &str, fit: impl Fn(char, char) -> bool, new: impl Fn(char, char) -> Vec<char>) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len() + 16);
    let mut at = 0;
    while at < characters.len() {
        match characters.get(at + 1) {
            Some(&next) if fit(characters[at], next) => {
                out.extend(new(characters[at], next));
                at += 2;
            }
            _ => {
                out.push(characters[at]);
                at += 1;
            }
        }
    }
    out
}

/// The ranges of sacrebleu's `zh`. Two of them, meant for rarer characters, there cover what stands below, since they are
/// compared as strings of two characters.
fn is_chinese(c: char) -> bool {
    matches!(c,
        '\u{3400}'..='\u{4db5}' | '\u{4e00}'..='\u{9fbb}' | '\u{f900}'..='\u{fa2d}' | '\u{fa30}'..='\u{fa6a}'
        | '\u{fa70}'..='\u{fad9}' | '\u{2001}'..='\u{2a6d}' | '\u{2f81}'..='\u{2fa1}' | '\u{ff00}'..='\u{ffef}'
        | '\u{2e80}'..='\u{2eff}' | '\u{3000}'..='\u{303f}' | '\u{31c0}'..='\u{31ef}' | '\u{2f00}'..='\u{2fdf}'
        | '\u{2ff0}'..='\u{2fff}' | '\u{3100}'..='\u{312f}' | '\u{31a0}'..='\u{31bf}' | '\u{fe10}'..='\u{fe1f}'
        | '\u{fe30}'..='\u{fe4f}' | '\u{3200}'..='\u{33ff}')
}
