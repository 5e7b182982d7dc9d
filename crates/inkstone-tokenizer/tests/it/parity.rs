//! Real texts, and the same ids as `transformers`.
//!
//! The comparison runs where `INKSTONE_PARITY_PYTHON` names a Python with `transformers` and `jinja2`,
//! and `INKSTONE_DATA` the folder of real texts.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use inkstone_corpus::chat::{Message, Role, parse_record};
use inkstone_tokenizer::{Algorithm, CHATML, Tokenizer, TokenizerConfig, train};
use serde_json::Value;

use crate::support::{ALL, conversation, files, message};

fn data(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("INKSTONE_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skip {test}: INKSTONE_DATA is not set");
    }
    folder
}

/// Sentences in both languages, in turn.
fn sentences(data: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(data.join("tatoeba_en_zh.txt")).unwrap();
    text.lines().flat_map(|line| line.split('\t').take(2).map(str::to_owned)).collect()
}

/// 5,000 lines in both languages, a fifth of them with emoji, marks and odd spaces.
fn lines(sentences: &[String]) -> Vec<String> {
    let decorations = ["🎉", " 👩‍👩‍👧‍👦  ", "\t<|im_end|>", "……「」 １２３4567", "é ☃️\n\n"];
    let chosen = (0..5000).map(|n| (n, &sentences[n * 7919 % sentences.len()]));
    chosen
        .map(|(number, line)| match number % 5 {
            0 => format!("{} {line}{}", decorations[number / 5 % 5], decorations[number / 25 % 5]),
            _ => line.clone(),
        })
        .collect()
}

fn conversations(data: &Path) -> Vec<Vec<Message>> {
    let mut all = vec![conversation(), vec![message(Role::User, " hi\n"), message(Role::Assistant, "\nyes ")]];
    for name in ["alpaca_en_demo.json", "alpaca_zh_demo.json"] {
        let records: Vec<Value> = serde_json::from_slice(&std::fs::read(data.join(name)).unwrap()).unwrap();
        all.extend(records.iter().take(200).map(|record| parse_record(record).unwrap()));
    }
    all
}

fn trained(algorithm: Algorithm, texts: &[String]) -> Tokenizer {
    let size = (!matches!(algorithm, Algorithm::Character | Algorithm::Byte)).then_some(4000);
    let config = TokenizerConfig::new("corpus", algorithm, size);
    train(&config, Some(CHATML), texts.iter().cloned().map(Ok)).unwrap()
}

#[test]
fn real_texts_come_back() {
    let Some(data) = data("real_texts_come_back") else {
        return;
    };
    let sentences = sentences(&data);
    for algorithm in [Algorithm::Bpe, Algorithm::Byte, Algorithm::Character] {
        let tokenizer = trained(algorithm, &sentences);
        for (text, ids) in sentences.iter().zip(tokenizer.encode_batch(&sentences).unwrap()) {
            assert_eq!(&tokenizer.decode(&ids).unwrap(), text, "{algorithm:?}");
        }
    }
}

#[test]
fn real_trainings_are_alike_at_one_thread_and_two() {
    let Some(data) = data("real_trainings_are_alike_at_one_thread_and_two") else {
        return;
    };
    let sentences: Vec<String> = sentences(&data).into_iter().step_by(3).collect();
    for algorithm in [Algorithm::Bpe, Algorithm::Wordpiece, Algorithm::Unigram] {
        let made = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let folder = tempfile::tempdir().unwrap();
            pool.install(|| trained(algorithm, &sentences)).save(folder.path()).unwrap();
            files(folder.path())
        };
        assert!(made(1) == made(2), "{algorithm:?}");
    }
}

/// The script's answers for a folder.
fn answers(python: &str, folder: &Path, input: &[Value]) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/scripts/tokenizer_parity.py");
    let mut child =
        Command::new(python).arg(script).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines: String = input.iter().map(|value| format!("{value}\n")).collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// transformers recognises special tokens in any text; ours never does.
fn is_plain(line: &str) -> bool {
    !line.contains("<|")
}

#[test]
fn ids_and_chats_are_those_of_transformers() {
    let Some(data) = data("ids_and_chats_are_those_of_transformers") else {
        return;
    };
    let Ok(python) = std::env::var("INKSTONE_PARITY_PYTHON") else {
        eprintln!("skip ids_and_chats_are_those_of_transformers: INKSTONE_PARITY_PYTHON is not set");
        return;
    };
    let sentences = sentences(&data);
    let (lines, chats) = (lines(&sentences), conversations(&data));
    assert_eq!(lines.len(), 5000);
    let input: Vec<Value> = lines
        .iter()
        .map(|line| Value::from(line.as_str()))
        .chain(chats.iter().map(|chat| serde_json::to_value(chat).unwrap()))
        .collect();
    for algorithm in ALL {
        let tokenizer = trained(algorithm, &sentences);
        let folder = tempfile::tempdir().unwrap();
        tokenizer.save(folder.path()).unwrap();
        let answers = answers(&python, folder.path(), &input);
        assert_eq!(answers.len(), input.len());
        let (of_lines, of_chats) = answers.split_at(lines.len());
        for (line, answer) in lines.iter().zip(of_lines).filter(|(line, _)| is_plain(line)) {
            let encoded = tokenizer.encode(line).unwrap();
            assert_eq!(encoded, ids(&answer["ids"]), "{algorithm:?} {line}");
            assert_eq!(tokenizer.decode(&encoded).unwrap(), answer["text"], "{algorithm:?} {line}");
        }
        for (chat, answer) in chats.iter().zip(of_chats) {
            assert_eq!(tokenizer.render_chat(chat, false).unwrap(), answer["text"]);
            assert_eq!(tokenizer.encode_chat(chat, true).unwrap(), ids(&answer["prompt_ids"]));
            let (encoded, mask) = tokenizer.encode_training(chat).unwrap();
            assert_eq!(encoded, ids(&answer["ids"]), "{algorithm:?} {chat:?}");
            // transformers 4 gives an empty mask where what the assistant says begins with white
            // space that WordPiece drops.
            if algorithm == Algorithm::Wordpiece && chat[1].content.starts_with('\n') {
                continue;
            }
            let mask: Vec<u32> = mask.into_iter().map(u32::from).collect();
            assert_eq!(mask, ids(&answer["mask"]), "{algorithm:?} {chat:?}");
        }
        println!("{algorithm:?}: {} lines and {} conversations agree", lines.len(), chats.len());
    }
}
