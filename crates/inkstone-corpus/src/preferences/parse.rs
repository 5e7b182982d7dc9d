//! Pairs (`prompt`, `chosen`, `rejected`; the prompt may be what both have in common), Anthropic's dialogue text, and answers
//! with a label (KTO), told apart by their keys.

use serde_json::{Map, Value};

use super::Answers;
use crate::chat::parse::{add_turns, check, text};
use crate::chat::{BadRecord, Message, Role};
use crate::text::keys_of;

/// Why a record is no preference to learn from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPreference {
    /// The keys are those of no known form.
    #[error("no known form of preferences ({keys}); expected `chosen` and `rejected`, or `label` beside an answer")]
    UnknownForm {
        /// The keys of the record.
        keys: String,
    },
    /// Nothing is preferred to anything.
    #[error("`chosen` and `rejected` are equal")]
    Equal,
    /// An answer in which nothing is said.
    #[error("the {which} answer says nothing")]
    Empty {
        /// `chosen`, `rejected` or `labelled`.
        which: &'static str,
    },
    /// There is nothing to answer.
    #[error("no user's turn before the answers")]
    NoPrompt,
    /// The two conversations differ before their last turn.
    #[error("`chosen` and `rejected` answer different conversations")]
    OtherPrompt,
    /// A conversation that is none.
    #[error(transparent)]
    Record(#[from] BadRecord),
}

/// The preference of a record, whichever of the known forms it has.
///
/// # Errors
/// If the keys are of no known form, or there is nothing to learn.
pub fn parse_preference(value: &Value) -> Result<Answers, BadPreference> {
    let unknown = |keys| BadPreference::UnknownForm { keys };
    let object = value.as_object().ok_or_else(|| unknown("no object".into()))?;
    let has = |key: &str| object.get(key).is_some_and(|value| !value.is_null());
    let answers = if has("chosen") && has("rejected") {
        pair(object)?
    } else if object.get("label").is_some_and(Value::is_boolean) {
        labelled(object)?
    } else {
        return Err(unknown(keys_of(object)));
    };
    validate(answers)
}

fn validate(answers: Answers) -> Result<Answers, BadPreference> {
    for (which, answer) in [("chosen", &answers.chosen), ("rejected", &answers.rejected)] {
        if answer.as_ref().is_some_and(|answer| answer.trim().is_empty()) {
            return Err(BadPreference::Empty { which });
        }
    }
    if answers.chosen.is_some() && answers.chosen == answers.rejected {
        return Err(BadPreference::Equal);
    }
    check(&answers.prompt)?;
    match answers.prompt.last() {
        Some(last) if matches!(last.role, Role::User | Role::Tool) => Ok(answers),
        _ => Err(BadPreference::NoPrompt),
    }
}

fn pair(object: &Map<String, Value>) -> Result<Answers, BadPreference> {
    let mut prompt = prompt_of(object)?;
    let (mut before, chosen) = answer(&object["chosen"], "chosen")?;
    let (other, rejected) = answer(&object["rejected"], "rejected")?;
    if before != other {
        return Err(BadPreference::OtherPrompt);
    }
    // A prompt of its own may be repeated at the beginning of both conversations.
    if !before.starts_with(&prompt) {
        prompt.append(&mut before);
    } else if !before.is_empty() {
        prompt = before;
    }
    let margin = ["margin", "score_margin"].iter().find_map(|key| object.get(*key)?.as_f64()).filter(|x| x.is_finite());
    Ok(Answers { prompt, chosen: Some(chosen), rejected: Some(rejected), margin })
}

fn labelled(object: &Map<String, Value>) -> Result<Answers, BadPreference> {
    let mut prompt = prompt_of(object)?;
    let said = match object.get("completion").filter(|value| !value.is_null()) {
        Some(completion) => {
            let (mut before, said) = answer(completion, "completion")?;
            prompt.append(&mut before);
            said
        }
        None => match prompt.pop() {
            Some(Message { role: Role::Assistant, content }) => content,
            _ => return Err(BadPreference::Empty { which: "labelled" }),
        },
    };
    let good = object["label"] == Value::Bool(true);
    Ok(Answers { prompt, chosen: good.then(|| said.clone()), rejected: (!good).then_some(said), margin: None })
}

/// What stands before the answers, under whichever key; nothing where it is part of them.
fn prompt_of(object: &Map<String, Value>) -> Result<Vec<Message>, BadPreference> {
    let mut messages = Vec::new();
    if let Some(system) = object.get("system").and_then(Value::as_str).filter(|text| !text.trim().is_empty()) {
        messages.push(Message { role: Role::System, content: system.to_owned() });
    }
    let found = ["prompt", "messages", "conversations", "instruction", "question"]
        .iter()
        .find_map(|key| Some((*key, object.get(*key).filter(|value| !value.is_null())?)));
    match found {
        Some((key, turns @ Value::Array(_))) => add_turns(turns, key, &mut messages)?,
        Some((key, value)) => {
            let content = text(value, key)?;
            match dialogue(&content) {
                Some(mut turns) => {
                    // "Assistant:" at the end only says who speaks next.
                    turns.pop_if(|last| last.role == Role::Assistant && last.content.is_empty());
                    messages.append(&mut turns);
                }
                None => messages.push(Message { role: Role::User, content }),
            }
        }
        None => {}
    }
    Ok(messages)
}

/// The conversation before an answer, and the answer: a text, a message, a list of them, or Anthropic's dialogue text.
fn answer(value: &Value, key: &'static str) -> Result<(Vec<Message>, String), BadPreference> {
    let mut turns = Vec::new();
    match value {
        Value::Array(_) => add_turns(value, key, &mut turns)?,
        Value::Object(_) => add_turns(&Value::Array(vec![value.clone()]), key, &mut turns)?,
        Value::String(said) => match dialogue(said) {
            Some(said) => turns = said,
            None => return Ok((turns, said.clone())),
        },
        other => return Ok((turns, text(other, key)?)),
    }
    match turns.pop() {
        Some(Message { role: Role::Assistant, content }) => Ok((turns, content)),
        _ => Err(BadPreference::Empty { which: key }),
    }
}

/// The turns of `\n\nHuman: …\n\nAssistant: …` (arXiv:2204.05862), where a text is one.
fn dialogue(text: &str) -> Option<Vec<Message>> {
    const SPEAKERS: [(&str, Role); 2] = [("\n\nHuman:", Role::User), ("\n\nAssistant:", Role::Assistant)];
    let next = |text: &str| {
        SPEAKERS.iter().filter_map(|&(mark, role)| Some((text.find(mark)?, mark, role))).min_by_key(|x| x.0)
    };
    let (0, mut mark, mut role) = next(text)? else { return None };
    let (mut rest, mut turns) = (text, Vec::new());
    loop {
        rest = &rest[mark.len()..];
        let end = next(rest);
        let content = rest[..end.map_or(rest.len(), |(at, ..)| at)].trim().to_owned();
        turns.push(Message { role, content });
        let Some((at, next_mark, next_role)) = end else { return Some(turns) };
        (rest, mark, role) = (&rest[at..], next_mark, next_role);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{BadPreference, parse_preference};

    #[test]
    fn the_forms_of_others() {
        let pairs = [
            json!({"prompt": "q", "chosen": "a", "rejected": "b"}),
            json!({"conversations": [{"from": "human", "value": "q"}], "chosen": {"from": "gpt", "value": "a"}, "rejected": {"from": "gpt", "value": "b"}}),
            json!({"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"}),
            json!({"chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
                   "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}]}),
            json!({"prompt": "\n\nHuman: q\n\nAssistant:", "chosen": " a", "rejected": " b"}),
        ];
        for pair in &pairs {
            let answers = parse_preference(pair).expect("a pair");
            assert_eq!((answers.prompt.len(), answers.prompt[0].content.as_str()), (1, "q"), "{pair}");
            assert_eq!(
                (answers.chosen.as_deref().map(str::trim), answers.rejected.as_deref().map(str::trim)),
                (Some("a"), Some("b"))
            );
        }
        let label = parse_preference(
            &json!({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "label": false}),
        );
        assert_eq!(label.expect("a label").rejected.as_deref(), Some("a"));
    }

    #[test]
    fn what_cannot_be_learnt_from_is_refused() {
        let error = |value| parse_preference(&value).expect_err("nothing to learn");
        assert_eq!(error(json!({"prompt": "q", "chosen": "a", "rejected": "a"})), BadPreference::Equal);
        assert_eq!(
            error(json!({"prompt": "q", "chosen": " ", "rejected": "a"})),
            BadPreference::Empty { which: "chosen" }
        );
        assert_eq!(error(json!({"chosen": "a", "rejected": "b"})), BadPreference::NoPrompt);
        assert!(matches!(error(json!({"text": "a"})), BadPreference::UnknownForm { .. }));
        let other = json!({"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: r\n\nAssistant: b"});
        assert_eq!(error(other), BadPreference::OtherPrompt);
    }
}
