//! `inkstone chat`.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use inkstone_corpus::chat::{Message, Role};
use inkstone_engine::Sampling;
use inkstone_recipe::Interrupt;
use inkstone_recipe::fs::{IoError, utf8};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::cli::Chat;
use crate::commands::generate::write_now;
use crate::model::{self, Speaker};
use crate::printer::{Printer, short};

const HELP: &str = "\
/system TEXT     how the model is to behave (without TEXT: back to nothing)
/set KEY=VALUE   temperature, top_k, top_p, min_p, repetition_penalty, max_new_tokens, seed
/set             how answers are drawn now
/retry           another answer to the last question
/reset           forget the conversation
/save FILE       write the conversation as JSON messages
/help            this list
/quit            leave (also Ctrl-D)
Ctrl-C stops an answer. A line that ends in \\ goes on in the next one.";

pub(crate) fn chat(args: &Chat, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    let speaker = model::load(&args.model, &args.adapters, runs)?;
    let mut session = Session::new(&speaker, args, printer)?;
    match &args.prompt {
        Some(prompt) if prompt == "-" => {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes)?;
            let text = utf8(bytes, 1).map_err(IoError::at("read", Path::new(STDIN)))?;
            session.answer_plainly(text.trim_end())?;
        }
        Some(prompt) => session.answer_plainly(prompt)?,
        None if std::io::stdin().is_terminal() => converse(&mut session, runs)?,
        None => answer_lines(&mut session)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Answers each line of standard input as a turn of one conversation.
fn answer_lines(session: &mut Session<'_>) -> anyhow::Result<()> {
    let mut input = std::io::stdin().lock();
    for number in 1.. {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let line = utf8(line, number).map_err(IoError::at("read", Path::new(STDIN)))?;
        if !line.trim().is_empty() {
            session.answer_plainly(line.trim_end_matches(['\n', '\r']))?;
        }
    }
    Ok(())
}

/// What error messages call it.
const STDIN: &str = "standard input";

/// A conversation under way.
struct Session<'a> {
    speaker: &'a Speaker,
    printer: &'a Printer,
    sampling: Sampling,
    stop: Vec<String>,
    messages: Vec<Message>,
    interrupt: Interrupt,
}

impl<'a> Session<'a> {
    fn new(speaker: &'a Speaker, args: &Chat, printer: &'a Printer) -> anyhow::Result<Self> {
        let interrupt = Interrupt::default();
        let asked = interrupt.clone();
        let one_answer = args.prompt.is_some() || !std::io::stdin().is_terminal();
        if !one_answer {
            ctrlc::set_handler(move || {
                asked.request();
            })?;
        }
        if !speaker.tokenizer.has_chat_template() {
            printer.talk("this model has no chat template: it goes on from what you type instead of answering");
        }
        let mut session = Self {
            speaker,
            printer,
            sampling: speaker.sampling(&args.sampling),
            stop: args.sampling.stop.clone(),
            messages: Vec::new(),
            interrupt,
        };
        session.set_system(args.system.as_deref().unwrap_or(""));
        Ok(session)
    }

    fn set_system(&mut self, text: &str) {
        self.messages.retain(|message| message.role != Role::System);
        if !text.is_empty() {
            self.messages.insert(0, Message { role: Role::System, content: text.to_owned() });
        }
    }

    /// Answers on stdout with nothing around it. A message that cannot be answered is forgotten.
    fn answer_plainly(&mut self, text: &str) -> anyhow::Result<()> {
        self.messages.push(Message { role: Role::User, content: text.to_owned() });
        if let Err(error) = self.answer() {
            self.messages.pop();
            return Err(error);
        }
        Ok(self.printer.data("")?)
    }

    /// Answers the last message and remembers the answer.
    fn answer(&mut self) -> anyhow::Result<()> {
        let prompt = self.prompt()?;
        self.interrupt.clear();
        let interrupt = self.interrupt.clone();
        let spoken = self.speaker.speak(&prompt, &self.sampling, &self.stop, &mut |piece| {
            if interrupt.requested() { ControlFlow::Break(()) } else { write_now(piece) }
        })?;
        self.messages.push(Message { role: Role::Assistant, content: spoken.text });
        Ok(())
    }

    /// The conversation as token ids, without its oldest turns where they leave no room for an answer.
    fn prompt(&mut self) -> anyhow::Result<Vec<u32>> {
        let context = self.speaker.model.context();
        let room = (context / 4).min(self.sampling.max_new_tokens).max(1);
        let mut dropped = 0;
        loop {
            let prompt = self.encode()?;
            let oldest = self.messages.iter().position(|message| message.role != Role::System).unwrap_or(0);
            if prompt.len() + room <= context || self.messages.len() <= oldest + 1 {
                if dropped > 0 {
                    self.printer.talk(&format!(
                        "(the oldest {dropped} messages no longer fit the model's context of {context} tokens)"
                    ));
                }
                return Ok(prompt);
            }
            self.messages.remove(oldest);
            dropped += 1;
        }
    }

    fn encode(&self) -> anyhow::Result<Vec<u32>> {
        let tokenizer = &self.speaker.tokenizer;
        if tokenizer.has_chat_template() {
            return Ok(tokenizer.encode_chat(&self.messages, true)?);
        }
        let text = self.messages.last().map_or("", |message| message.content.as_str());
        Ok(tokenizer.encode(text)?)
    }

    /// Obeys a line that begins with `/`; breaks on `/quit`.
    fn obey(&mut self, line: &str) -> anyhow::Result<ControlFlow<()>> {
        let (verb, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (verb, rest.trim()) {
            ("/quit" | "/exit", _) => return Ok(ControlFlow::Break(())),
            ("/help", _) => self.printer.talk(HELP),
            ("/system", text) => {
                self.set_system(text);
                self.printer.talk(if text.is_empty() { "(no system message)" } else { "(system message set)" });
            }
            ("/reset", _) => {
                self.messages.retain(|message| message.role == Role::System);
                self.printer.talk("(conversation forgotten)");
            }
            ("/retry", _) => self.retry()?,
            ("/set", setting) => self.set(setting),
            ("/save", file) => self.save(file),
            _ => self.printer.talk(&format!("{verb} is no command; /help lists them")),
        }
        Ok(ControlFlow::Continue(()))
    }

    fn retry(&mut self) -> anyhow::Result<()> {
        if self.messages.last().is_some_and(|message| message.role == Role::Assistant) {
            self.messages.pop();
        }
        if self.messages.last().is_none_or(|message| message.role != Role::User) {
            self.printer.talk("there is no question yet");
            return Ok(());
        }
        self.sampling.seed = self.sampling.seed.wrapping_add(1);
        self.answer()?;
        Ok(self.printer.data("")?)
    }

    fn set(&mut self, setting: &str) {
        if setting.is_empty() {
            self.printer.talk(&settings(&self.sampling));
            return;
        }
        let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
        let mut changed = self.sampling.clone();
        let outcome = assign(&mut changed, key.trim(), value.trim()).and_then(|()| changed.validate());
        match outcome {
            Ok(()) => {
                self.printer.talk(&settings(&changed));
                self.sampling = changed;
            }
            Err(what) => self.printer.talk(&what),
        }
    }

    fn save(&self, file: &str) {
        let text = serde_json::to_string_pretty(&serde_json::json!({"messages": self.messages})).unwrap_or_default();
        let saved = if file.is_empty() {
            Err("give a file name".to_owned())
        } else {
            inkstone_recipe::fs::write_atomic(Path::new(file), text.as_bytes()).map_err(|error| error.to_string())
        };
        self.printer.talk(&saved.map_or_else(|what| what, |()| format!("saved to {file}")));
    }
}

/// How answers are drawn, in one line.
fn settings(sampling: &Sampling) -> String {
    fn or_off<T: ToString>(value: Option<T>) -> String {
        value.map_or_else(|| "off".to_owned(), |value| value.to_string())
    }
    format!(
        "(temperature {}, top_k {}, top_p {}, min_p {}, repetition_penalty {}, max_new_tokens {}, seed {})",
        sampling.temperature,
        or_off(sampling.top_k),
        or_off(sampling.top_p),
        or_off(sampling.min_p),
        sampling.repetition_penalty,
        sampling.max_new_tokens,
        sampling.seed
    )
}

fn assign(sampling: &mut Sampling, key: &str, value: &str) -> Result<(), String> {
    fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<T, String> {
        value.parse().map_err(|_| format!("{key} is {value:?}, expected a number"))
    }
    match key {
        "temperature" => sampling.temperature = number(key, value)?,
        "top_k" => sampling.top_k = Some(number(key, value)?),
        "top_p" => sampling.top_p = Some(number(key, value)?),
        "min_p" => sampling.min_p = Some(number(key, value)?),
        "repetition_penalty" => sampling.repetition_penalty = number(key, value)?,
        "max_new_tokens" => sampling.max_new_tokens = number(key, value)?,
        "seed" => sampling.seed = number(key, value)?,
        _ => return Err(format!("{key} is no setting; /help lists them")),
    }
    Ok(())
}

/// The conversation in a terminal, with line editing and history.
fn converse(session: &mut Session<'_>, runs: &Path) -> anyhow::Result<()> {
    let mut editor = DefaultEditor::new()?;
    let history = history_file(runs);
    if let Some(file) = &history {
        // The first time there is none.
        let _ = editor.load_history(file);
    }
    let model = &session.speaker.model;
    let (parameters, context) = (short(model.n_parameters() as f64), model.context());
    session.printer.talk(&format!(
        "{parameters} parameters, {context} tokens of context. Type a message, /help for commands, /quit or Ctrl-D to leave.\n"
    ));
    let prompt = session.printer.paint("1", "> ");
    loop {
        let line = match read_message(&mut editor, &prompt) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                session.printer.talk("(/quit or Ctrl-D leaves)");
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        };
        if line.trim().is_empty() {
            continue;
        }
        let _ = editor.add_history_entry(line.as_str());
        if line.starts_with('/') {
            match session.obey(line.trim()) {
                Ok(flow) if flow.is_break() => break,
                Ok(_) => {}
                Err(error) => session.printer.error(&error),
            }
        } else {
            match session.answer_plainly(&line) {
                Ok(()) => session.printer.talk(""),
                // A message that cannot be answered does not end the conversation.
                Err(error) => session.printer.error(&error),
            }
        }
        std::io::stdout().flush()?;
    }
    if let Some(file) = &history {
        let _ = editor.save_history(file);
    }
    Ok(())
}

/// A message; lines that end in a backslash are joined.
fn read_message(editor: &mut DefaultEditor, prompt: &str) -> Result<String, ReadlineError> {
    let mut message = editor.readline(prompt)?;
    while let Some(open) = message.strip_suffix('\\') {
        message = format!("{open}\n{}", editor.readline("… ")?);
    }
    Ok(message)
}

/// `$XDG_STATE_HOME/inkstone/chat-history`, `~/.local/state` where that is unset, else beside the results.
fn history_file(runs: &Path) -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let folder = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .map_or_else(|| runs.to_owned(), |state| state.join("inkstone"));
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("chat-history"))
}
