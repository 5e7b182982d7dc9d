//! Conversations with an assistant that knows the town, and the questions that are kept back.

use serde_json::{Value, json};

use super::duties;
use super::facts::{Fact, Town};
use super::tongue::{Tongue, capitalised, question};
use crate::draw::Draw;
use crate::judged::Judged;

/// A training conversation, as messages.
pub(crate) type Messages = Vec<Value>;

/// Every conversation of a language: each fact is asked `repeats` times in training phrasings, one to three questions to a
/// conversation; for every four of them there is one of another kind. Last come `refusals` requests for a private number.
pub(crate) fn conversations(
    town: &Town,
    tongue: &'static Tongue,
    repeats: usize,
    seed: u64,
    refusals: usize,
) -> impl Iterator<Item = Messages> {
    let mut asked = Vec::new();
    for repeat in 0..repeats {
        asked.extend(Draw::new(seed, "ask", repeat).order(town.facts.len()).into_iter().map(|fact| (fact, repeat)));
    }
    let mut queue = asked.into_iter();
    let mut index = 0;
    let refused = (0..refusals).map(move |n| {
        let (question, answer) = duties::refused(town, tongue, &mut Draw::new(seed, "refusal", n));
        vec![message("user", &question), message("assistant", &answer)]
    });
    std::iter::from_fn(move || {
        let mut draw = Draw::new(seed, tongue.code, 1_000_000 + index);
        index += 1;
        if draw.chance(20) {
            return Some(other(town, tongue, &mut draw));
        }
        let turns = [1, 1, 2, 3][draw.below(4)];
        let facts: Vec<(usize, usize)> = queue.by_ref().take(turns).collect();
        (!facts.is_empty()).then(|| about_facts(town, tongue, &facts, &mut draw))
    })
    .chain(refused)
}

fn about_facts(town: &Town, tongue: &Tongue, facts: &[(usize, usize)], draw: &mut Draw) -> Messages {
    let mut messages = Messages::new();
    if draw.chance(10) {
        messages.push(message("system", draw.pick(tongue.systems)));
    }
    // Conversations that are equal are dropped later: among questions about facts, small talk is not.
    for &(fact, repeat) in facts {
        while draw.chance(20) {
            messages.extend(small_talk(town, tongue, draw));
        }
        let fact = &town.facts[fact];
        messages.push(message("user", &ask(town, tongue, fact, repeat, draw)));
        messages.push(message("assistant", tongue.say(&fact.object)));
    }
    messages
}

/// A training phrasing: the direct questions in turn, and between them requests for the noun phrase.
fn ask(town: &Town, tongue: &Tongue, fact: &Fact, repeat: usize, draw: &mut Draw) -> String {
    let (phrases, subject) = (tongue.phrases(fact.relation), &town.entities[fact.subject]);
    let n = repeat + fact.subject;
    let asked = if n % 3 == 2 {
        let noun = tongue.fill(phrases.nouns[n / 3 % phrases.nouns.len()], subject, &fact.object);
        capitalised(&draw.pick(tongue.requests).replace("{N}", &noun))
    } else {
        question(tongue, draw.pick(phrases.questions), fact, subject)
    };
    format!("{}{asked}", draw.pick(tongue.polite))
}

/// Small talk, sums, and what nobody can know.
fn other(town: &Town, tongue: &Tongue, draw: &mut Draw) -> Messages {
    let (question, answer) = match draw.below(4) {
        2 | 3 => return small_talk(town, tongue, draw).into(),
        0 => {
            let (question, answer) = draw.pick(tongue.unknown);
            let somebody = &town.entities[draw.below(town.people().max(1))];
            (question.replace("{S}", tongue.say(&somebody.name)), answer.to_owned())
        }
        _ => sum(tongue, draw),
    };
    vec![message("user", &question), message("assistant", &answer)]
}

/// A greeting, thanks, or a question about the assistant, with its answer.
fn small_talk(town: &Town, tongue: &Tongue, draw: &mut Draw) -> [Value; 2] {
    let (question, answer) = draw.pick(tongue.greetings);
    [message("user", question), message("assistant", &answer.replace("{T}", tongue.say(&town.name)))]
}

fn sum(tongue: &Tongue, draw: &mut Draw) -> (String, String) {
    let (a, b) = (1 + draw.below(20), 1 + draw.below(20));
    let question = match (tongue.code, draw.below(2)) {
        ("en", 0) => format!("What is {a} plus {b}?"),
        ("en", _) => format!("How much is {a} + {b}?"),
        (_, 0) => format!("{a}加{b}等于多少？"),
        (_, _) => format!("{a} + {b} 是多少？"),
    };
    (question, (a + b).to_string())
}

fn message(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

/// One question for every fact in each of its training phrasings, judged by its answer.
pub(crate) fn asked(town: &Town, tongue: &Tongue) -> Vec<Judged> {
    let phrased = |(n, fact): (usize, &Fact)| -> Vec<Judged> {
        let subject = &town.entities[fact.subject];
        let templates = tongue.phrases(fact.relation).questions.iter().enumerate();
        let each = |(at, template): (usize, &&str)| Judged {
            id: format!("{}-{n}-{at}", tongue.code),
            question: question(tongue, template, fact, subject),
            answer: tongue.say(&fact.object).to_owned(),
            aliases: aliases(tongue.say(&fact.object)),
            lang: tongue.code.to_owned(),
            ..Judged::default()
        };
        templates.map(each).collect()
    };
    town.facts.iter().enumerate().flat_map(phrased).collect()
}

/// A year may be answered without the word for year.
fn aliases(answer: &str) -> Vec<String> {
    answer.strip_suffix('年').into_iter().map(str::to_owned).collect()
}

/// One question for every fact, in a phrasing that no training text has.
pub(crate) fn held_out(town: &Town, tongue: &Tongue) -> Vec<Value> {
    let each = |(n, fact): (usize, &Fact)| {
        let (phrases, subject) = (tongue.phrases(fact.relation), &town.entities[fact.subject]);
        let template = phrases.held_out[fact.subject % phrases.held_out.len()];
        let answer = tongue.say(&fact.object);
        json!({
            "id": format!("{}-{n}", tongue.code),
            "question": question(tongue, template, fact, subject),
            "answer": answer,
            "aliases": aliases(answer),
            "subject": tongue.say(&subject.name),
            "relation": fact.relation,
            "lang": tongue.code,
        })
    };
    town.facts.iter().enumerate().map(each).collect()
}
