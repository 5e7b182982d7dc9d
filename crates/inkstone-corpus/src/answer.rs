//! When two answers are the same.

/// The normal form in which answers are compared: lower case, without punctuation, without
/// English articles, single spaces (`SQuAD`, arXiv:1606.05250, section 6.1); full-width forms as ASCII.
pub fn normalise(answer: &str) -> String {
    let text: String = answer
        .chars()
        .map(half_width)
        .flat_map(char::to_lowercase)
        .map(|c| if is_punctuation(c) { ' ' } else { c })
        .collect();
    text.split_whitespace().filter(|word| !matches!(*word, "a" | "an" | "the")).collect::<Vec<_>>().join(" ")
}

fn half_width(c: char) -> char {
    match c {
        '\u{3000}' => ' ',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation()
        || matches!(c, '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{3001}'..='\u{303f}' | '\u{b7}')
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn normal_forms() {
        assert_eq!(normalise(" The  Old Mill. "), "old mill");
        assert_eq!(normalise("一八九七年。"), "一八九七年");
        assert_eq!(normalise("１８９７"), "1897");
        assert_eq!(normalise("An apple—a day"), "apple day");
    }
}
