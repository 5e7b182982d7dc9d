//! Conversations to ids, by way of the chat template.
//!
//! A template writes text in which its special tokens stand as strings. So that a message can't write
//! them too, the characters of the messages that could take part in such a string are replaced by
//! private-use placeholders before rendering ([`guard`]); the rendered text is then cut at the special
//! tokens without placeholders, and what lies between is encoded as ordinary text. Where no message
//! holds anything of the kind, which is nearly always, the whole text is encoded at once, with the
//! same result as `apply_chat_template(tokenize=True)` of transformers.

mod date;
mod encode;
mod guard;
mod python;
mod rendered;
mod template;

pub use encode::Prompt;
pub(crate) use template::ChatTemplate;
pub use template::Turn;

/// The default chat template, `ChatML`, with marks around what the assistant says.
pub const CHATML: &str = include_str!("chatml.jinja");

/// The date (year, month, day) that templates see in training, where a clock must not decide bytes.
pub const TRAINING_DATE: (i64, u32, u32) = (2026, 1, 1);
