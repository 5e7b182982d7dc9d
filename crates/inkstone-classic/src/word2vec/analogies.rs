//! Questions of the form “a is to b as c is to ?” (arXiv:1301.3781, section 4.1).
//!
//! The answer is the word nearest to `b − a + c`, the three words left out, as in the original program.

use std::collections::HashMap;
use std::path::Path;

use super::sentences::each_line;
use super::vectors::Space;
use crate::{ClassicError, Result};

/// How a section of the questions went.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Section {
    /// Its name, after the colon.
    pub name: String,
    /// Questions answered right.
    pub right: u64,
    /// Questions all of whose words are known.
    pub asked: u64,
    /// Questions with an unknown word.
    pub unknown: u64,
}

/// Questions answered with one matrix product.
const TOGETHER: usize = 64;

/// Asks the questions of a file: lines of four words below lines `: section`. Upper and lower case are not
/// told apart, and of words that differ only in that the first counts.
pub fn analogies(space: &Space, path: &Path, progress: &mut dyn FnMut(u64)) -> Result<Vec<Section>> {
    let folded = Folded::new(space);
    let mut sections: Vec<Section> = Vec::new();
    let (mut waiting, mut number) = (Vec::new(), 0);
    each_line(path, |line, bytes| {
        number += 1;
        if let Some(name) = line.strip_prefix(':') {
            answer(space, &folded, &mut waiting, &mut sections);
            sections.push(Section { name: name.trim().to_owned(), right: 0, asked: 0, unknown: 0 });
            return Ok(());
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let question = match words[..] {
            [] => return Ok(()),
            [a, b, c, d] => [a, b, c, d].map(|word| folded.id(word)),
            _ => return Err(not_four(path, number, words.len())),
        };
        if sections.is_empty() {
            sections.push(Section { name: "questions".to_owned(), right: 0, asked: 0, unknown: 0 });
        }
        match question {
            [Some(a), Some(b), Some(c), Some(d)] => waiting.push([a, b, c, d]),
            _ => sections.last_mut().into_iter().for_each(|section| section.unknown += 1),
        }
        if waiting.len() == TOGETHER {
            answer(space, &folded, &mut waiting, &mut sections);
            progress(bytes);
        }
        Ok(())
    })?;
    answer(space, &folded, &mut waiting, &mut sections);
    Ok(sections)
}

fn not_four(path: &Path, line: u64, got: usize) -> ClassicError {
    ClassicError::Line { path: path.to_owned(), line, what: format!("{got} words, expected 4, or a colon and a name") }
}

/// Answers the questions that wait, all of the last section.
fn answer(space: &Space, folded: &Folded, waiting: &mut Vec<[u32; 4]>, sections: &mut [Section]) {
    let Some(section) = sections.last_mut() else { return };
    let direction = |&[a, b, c, _]: &[u32; 4]| space.direction(&[(-1.0, a), (1.0, b), (1.0, c)]);
    let directions: Vec<f32> = waiting.iter().flat_map(direction).collect();
    let similarities = space.similarities(&directions);
    for (&[a, b, c, d], row) in waiting.iter().zip(similarities.chunks_exact(space.words().len())) {
        section.asked += 1;
        section.right += u64::from(folded.best(row, &[a, b, c]) == Some(d));
    }
    waiting.clear();
}

/// Words without upper and lower case.
struct Folded {
    ids: HashMap<String, u32>,
    /// Of each id, whether it is the first of its folded form.
    first: Vec<bool>,
}

impl Folded {
    fn new(space: &Space) -> Self {
        let mut ids = HashMap::with_capacity(space.words().len());
        let words = (0..).zip(space.words().iter().map(AsRef::as_ref));
        let first = words.map(|(id, word): (u32, &str)| *ids.entry(word.to_uppercase()).or_insert(id) == id).collect();
        Self { ids, first }
    }

    fn id(&self, word: &str) -> Option<u32> {
        self.ids.get(&word.to_uppercase()).copied()
    }

    /// The most similar word that is not asked about.
    fn best(&self, similarities: &[f32], without: &[u32]) -> Option<u32> {
        let ids = (0..).zip(similarities).filter(|(id, _)| self.first[*id as usize] && !without.contains(id));
        ids.fold(None, |best: Option<(u32, f32)>, (id, &similarity)| match best {
            Some((_, highest)) if highest >= similarity => best,
            _ => Some((id, similarity)),
        })
        .map(|(id, _)| id)
    }
}
