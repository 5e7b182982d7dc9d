//! Question answering by exact match.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use inkstone_corpus::chat::{Message, Role};
use inkstone_engine::{Sampling, generate};
use inkstone_models::Model;
use inkstone_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

use crate::{EvalError, normalise};

/// A question with a known answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Question {
    /// Identifies the question.
    pub id: String,
    /// What is asked.
    pub question: String,
    /// The answer.
    pub answer: String,
    /// Other wordings of the answer.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// What kind of fact is asked for.
    #[serde(default)]
    pub relation: String,
    /// `en`, `zh`, …
    #[serde(default)]
    pub lang: String,
}

/// What a model answered.
#[derive(Debug, Clone, Serialize)]
pub struct Answered {
    /// The question's id.
    pub id: String,
    /// Its language.
    pub lang: String,
    /// The question.
    pub question: String,
    /// The right answer.
    pub answer: String,
    /// The model's.
    pub got: String,
    /// Whether they have the same normal form.
    pub correct: bool,
}

/// Largest file of questions that is read.
const MAX_BYTES: u64 = 1 << 30;

/// Reads JSON lines of questions.
pub fn read_questions(path: &Path) -> Result<Vec<Question>, EvalError> {
    let failed = |source| EvalError::File { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > MAX_BYTES {
        return Err(failed(std::io::Error::other("is larger than 1 GiB")));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let parse = |(index, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| EvalError::Record {
            path: path.to_owned(),
            line: index + 1,
            what: error.to_string(),
        })
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(parse).collect()
}

impl Question {
    /// Whether `answer` is one of the right ones.
    pub fn accepts(&self, answer: &str) -> bool {
        let got = normalise(answer);
        std::iter::once(&self.answer).chain(&self.aliases).any(|right| normalise(right) == got)
    }
}

/// A question as a user's turn of the chat template, up to where the answer begins.
pub(crate) fn prompt(tokenizer: &Tokenizer, question: &Question) -> Result<Vec<u32>, EvalError> {
    let turn = Message { role: Role::User, content: question.question.clone() };
    Ok(tokenizer.encode_chat(&[turn], true)?)
}

/// Puts one question to a model, greedily, as a user's turn of its chat template.
pub fn ask(
    model: &Model,
    tokenizer: &Tokenizer,
    question: &Question,
    max_new_tokens: usize,
) -> Result<Answered, EvalError> {
    let prompt = prompt(tokenizer, question)?;
    let sampling = Sampling { max_new_tokens, stop_ids: tokenizer.stop_ids(), ..Sampling::greedy() };
    let ids = generate(model, &prompt, &sampling, &mut |_| ControlFlow::Continue(()))?;
    let got = tokenizer.decode(&ids)?.trim().to_owned();
    Ok(Answered {
        id: question.id.clone(),
        lang: question.lang.clone(),
        question: question.question.clone(),
        answer: question.answer.clone(),
        correct: question.accepts(&got),
        got,
    })
}

/// How many questions would be right if their answers were shuffled: each question gets the answer
/// of the next question about the same relation in the same language, in an order drawn from `seed`.
pub fn chance_hits(questions: &[&Question], seed: u64) -> u64 {
    let mut groups: BTreeMap<(&str, &str), Vec<&Question>> = BTreeMap::new();
    for question in questions {
        groups.entry((&question.lang, &question.relation)).or_default().push(question);
    }
    let mut hits = 0;
    for group in groups.values_mut() {
        group
            .sort_by_cached_key(|question| blake3::keyed_hash(&key(seed), question.id.as_bytes()).to_hex().to_string());
        let others = group.iter().skip(1).chain(group.first());
        hits += group
            .iter()
            .zip(others)
            .filter(|(question, other)| group.len() > 1 && question.accepts(&other.answer))
            .count();
    }
    hits as u64
}

fn key(seed: u64) -> [u8; 32] {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key
}
