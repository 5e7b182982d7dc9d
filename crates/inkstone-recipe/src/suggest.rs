//! The nearest known word.

/// The word of `known` nearest to `word`, if it is near enough to be a slip of the pen.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let limit = (word.chars().count() / 3).max(2);
    let distances = known.into_iter().map(|k| (distance(word, k), k));
    distances.filter(|&(d, k)| d <= limit && d < k.chars().count()).min().map(|(_, k)| k.to_owned())
}

/// Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`, case aside.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().take(64).collect();
    let b: Vec<char> = b.to_lowercase().chars().take(64).collect();
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = cell(&rows, (&a, i), (&b, j));
        }
    }
    rows[a.len()][b.len()]
}

fn cell(rows: &[Vec<usize>], (a, i): (&[char], usize), (b, j): (&[char], usize)) -> usize {
    if i == 0 || j == 0 {
        return i + j;
    }
    let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
    let best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
    let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
    if swapped { best.min(rows[i - 2][j - 2] + 1) } else { best }
}

/// `` `a`, `b` or `c` ``
pub(crate) fn list<S: AsRef<str>>(words: &[S]) -> String {
    let quoted: Vec<String> = words.iter().map(|w| format!("`{}`", w.as_ref())).collect();
    match quoted.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_only() {
        let known = ["steps", "warmup", "learning_rate"];
        assert_eq!(nearest("stepz", known).as_deref(), Some("steps"));
        assert_eq!(nearest("setps", known).as_deref(), Some("steps"));
        assert_eq!(nearest("learnin_rate", known).as_deref(), Some("learning_rate"));
        assert_eq!(nearest("colour", known), None);
    }

    #[test]
    fn counts_a_swap_as_one_edit() {
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
