//! Texts and tokenizers that the tests share.

use inkstone_corpus::chat::{Message, Role};
use inkstone_tokenizer::{Algorithm, CHATML, Tokenizer, TokenizerConfig, TokenizerError, train};

pub(crate) const ALL: [Algorithm; 5] =
    [Algorithm::Bpe, Algorithm::Unigram, Algorithm::Wordpiece, Algorithm::Character, Algorithm::Byte];

/// A few hundred sentences in two languages, composed so that words repeat in many contexts.
pub(crate) fn texts() -> Vec<String> {
    let people = ["Anna Reed", "Old Tom", "the baker", "李明", "王秀英", "渔夫"];
    let verbs = ["walks to", "paints", "remembers", "repairs", "sells", "waits for"];
    let actions = ["走到了", "画下了", "想起了", "修好了", "卖掉了", "等待着"];
    let things = ["the old bridge", "a lantern", "seven boats", "the market", "her letters"];
    let objects = ["古老的石桥", "一盏灯笼", "七条小船", "集市", "那些书信"];
    let mut texts = Vec::new();
    for (i, person) in people.iter().enumerate() {
        for (j, (verb, action)) in verbs.iter().zip(actions).enumerate() {
            for (k, (thing, object)) in things.iter().zip(objects).enumerate() {
                let year = 1800 + 37 * i + 5 * j + k;
                texts.push(format!("In {year}, {person} {verb} {thing}. It's a fine day!\n"));
                texts.push(format!("{year}年,{person}{action}{object}。天气很好！\n"));
            }
        }
    }
    texts
}

pub(crate) fn config(algorithm: Algorithm) -> TokenizerConfig {
    let size = match algorithm {
        Algorithm::Bpe => Some(420),
        Algorithm::Unigram => Some(390),
        Algorithm::Wordpiece => Some(300),
        Algorithm::Character | Algorithm::Byte => None,
    };
    TokenizerConfig::new("corpus", algorithm, size)
}

pub(crate) fn try_train(config: &TokenizerConfig, texts: &[String]) -> Result<Tokenizer, TokenizerError> {
    train(config, Some(CHATML), texts.iter().cloned().map(Ok))
}

pub(crate) fn trained(algorithm: Algorithm) -> Tokenizer {
    try_train(&config(algorithm), &texts()).unwrap()
}

pub(crate) fn message(role: Role, content: &str) -> Message {
    Message { role, content: content.to_owned() }
}

/// A conversation of all roles in turn.
pub(crate) fn conversation() -> Vec<Message> {
    vec![
        message(Role::System, "You know the town."),
        message(Role::User, "Who paints the old bridge?"),
        message(Role::Assistant, "Anna Reed paints it."),
        message(Role::User, "谁修好了灯笼？"),
        message(Role::Assistant, "渔夫修好了。🎉"),
    ]
}

/// The bytes of all files of a folder, by name.
pub(crate) fn files(folder: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}
