//! How each relation is said and asked, by language.
//!
//! Slots: `{S}` the subject, `{P}` its possessive, `{O}` the object, `{A}` the object with its
//! article. A statement is a clause without an end; a question is whole.

use super::facts::Relation;

/// The wordings of one relation.
#[derive(Debug)]
pub(crate) struct Phrases {
    pub(crate) relation: Relation,
    /// Clauses that state the fact.
    pub(crate) statements: &'static [&'static str],
    /// Questions that training texts use.
    pub(crate) questions: &'static [&'static str],
    /// What is asked for, as a noun phrase that fits into the frames of a request.
    pub(crate) nouns: &'static [&'static str],
    /// Questions that no training text uses.
    pub(crate) held_out: &'static [&'static str],
}

/// The wordings of `relation` in a language's table.
///
/// # Panics
/// If the table lacks the relation; a test looks that none does.
pub(crate) fn of(table: &'static [Phrases], relation: Relation) -> &'static Phrases {
    table.iter().find(|phrases| phrases.relation == relation).expect("invariant: a table has every relation")
}
