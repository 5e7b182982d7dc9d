//! A language: its tables, and how a sentence is put together in it.

use super::duties::Duties;
use super::facts::{Entity, Fact, Gender, Name, Relation};
use super::phrases::{self, Phrases};
use super::{en, zh};

/// A language with everything that can be said in it.
#[derive(Debug)]
pub(crate) struct Tongue {
    pub(crate) code: &'static str,
    people: &'static [Phrases],
    things: &'static [Phrases],
    pub(crate) openers: &'static [&'static str],
    pub(crate) endings: &'static [&'static str],
    pub(crate) connectives: &'static [&'static str],
    pub(crate) weather: [&'static [&'static str]; 3],
    pub(crate) requests: &'static [&'static str],
    pub(crate) polite: &'static [&'static str],
    pub(crate) greetings: &'static [(&'static str, &'static str)],
    pub(crate) systems: &'static [&'static str],
    pub(crate) unknown: &'static [(&'static str, &'static str)],
    pub(crate) duties: &'static Duties,
    pub(crate) letters: [&'static [&'static str]; 2],
    pub(crate) headlines: &'static [&'static str],
    pub(crate) diary: &'static [&'static str],
    stop: &'static str,
    pub(crate) space: &'static str,
}

pub(crate) static EN: Tongue = Tongue {
    code: "en",
    people: en::people::PHRASES,
    things: en::things::PHRASES,
    openers: en::frames::OPENERS,
    endings: en::frames::ENDINGS,
    connectives: en::frames::CONNECTIVES,
    weather: en::frames::WEATHER,
    requests: en::frames::REQUESTS,
    polite: en::frames::POLITE,
    greetings: en::frames::GREETINGS,
    systems: en::frames::SYSTEMS,
    unknown: en::frames::UNKNOWN,
    duties: &en::duties::DUTIES,
    letters: en::frames::LETTERS,
    headlines: en::frames::HEADLINES,
    diary: en::frames::DIARY,
    stop: ".",
    space: " ",
};

pub(crate) static ZH: Tongue = Tongue {
    code: "zh",
    people: zh::people::PHRASES,
    things: zh::things::PHRASES,
    openers: zh::frames::OPENERS,
    endings: zh::frames::ENDINGS,
    connectives: zh::frames::CONNECTIVES,
    weather: zh::frames::WEATHER,
    requests: zh::frames::REQUESTS,
    polite: zh::frames::POLITE,
    greetings: zh::frames::GREETINGS,
    systems: zh::frames::SYSTEMS,
    unknown: zh::frames::UNKNOWN,
    duties: &zh::duties::DUTIES,
    letters: zh::frames::LETTERS,
    headlines: zh::frames::HEADLINES,
    diary: zh::frames::DIARY,
    stop: "。",
    space: "",
};

/// The language of a code.
pub(crate) fn tongue(code: &str) -> Option<&'static Tongue> {
    [&EN, &ZH].into_iter().find(|tongue| tongue.code == code)
}

impl Tongue {
    fn english(&self) -> bool {
        self.code == "en"
    }

    pub(crate) fn phrases(&self, relation: Relation) -> &'static Phrases {
        let table = if relation <= Relation::Instrument { self.people } else { self.things };
        phrases::of(table, relation)
    }

    pub(crate) fn say<'a>(&self, name: &'a Name) -> &'a str {
        if self.english() { &name.en } else { &name.zh }
    }

    /// A template with the subject's name and the object filled in.
    pub(crate) fn fill(&self, template: &str, subject: &Entity, object: &Name) -> String {
        let name = self.say(&subject.name);
        self.fill_with(template, (name, &self.possessive(name)), object)
    }

    /// The same with a pronoun, where the template lets one stand.
    pub(crate) fn fill_again(&self, template: &str, subject: &Entity, object: &Name) -> String {
        let stands = !self.english()
            || template.starts_with("{S} ") && template.matches("{S}").count() == 1
            || !template.contains("{S}");
        match self.pronoun(subject.gender) {
            Some(pronoun) if stands => self.fill_with(template, pronoun, object),
            _ => self.fill(template, subject, object),
        }
    }

    fn fill_with(&self, template: &str, (subject, possessive): (&str, &str), object: &Name) -> String {
        let object = self.say(object);
        let article = if object.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        template
            .replace("{S}", subject)
            .replace("{P}", possessive)
            .replace("{A}", &format!("{article} {object}"))
            .replace("{O}", object)
    }

    fn possessive(&self, name: &str) -> String {
        if self.english() { format!("{name}'s") } else { format!("{name}的") }
    }

    fn pronoun(&self, gender: Gender) -> Option<(&'static str, &'static str)> {
        match (gender, self.english()) {
            (Gender::Man, true) => Some(("he", "his")),
            (Gender::Woman, true) => Some(("she", "her")),
            (Gender::Thing, true) => Some(("it", "its")),
            (Gender::Man, false) => Some(("他", "他的")),
            (Gender::Woman, false) => Some(("她", "她的")),
            (Gender::Thing, false) => None,
        }
    }

    /// A clause as a sentence.
    pub(crate) fn sentence(&self, clause: &str) -> String {
        format!("{}{}", capitalised(clause), self.stop)
    }
}

/// A question that the tables ask of a fact.
pub(crate) fn question(tongue: &Tongue, template: &str, fact: &Fact, subject: &Entity) -> String {
    capitalised(&tongue.fill(template, subject, &fact.object))
}

/// The text with a capital first letter.
pub(crate) fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
