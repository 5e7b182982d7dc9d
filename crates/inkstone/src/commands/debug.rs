//! `inkstone debug`: what the checks against other programs ask for.

use std::io::BufRead;
use std::path::Path;
use std::process::ExitCode;

use inkstone_corpus::chat::Message;
use inkstone_models::{NoObserver, Pass};
use serde::Deserialize;
use serde_json::json;

use crate::cli::{Debug, DebugCommand};
use crate::model::{self, Speaker};
use crate::printer::Printer;

#[derive(Debug, Deserialize)]
struct Ids {
    ids: Vec<u32>,
}

#[derive(Debug, Deserialize)]
struct Chat {
    messages: Vec<Message>,
    #[serde(default)]
    add_generation_prompt: bool,
}

pub(crate) fn debug(args: &Debug, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    let (DebugCommand::Logits(asked) | DebugCommand::Tokenize(asked) | DebugCommand::Render(asked)) = &args.what;
    let speaker = model::load(&asked.model, &crate::cli::Adapters::default(), runs)?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let answer = match &args.what {
            DebugCommand::Logits(_) => logits(&speaker, &line)?,
            DebugCommand::Tokenize(_) => json!(speaker.tokenizer.encode(&serde_json::from_str::<String>(&line)?)?),
            DebugCommand::Render(_) => {
                let chat: Chat = serde_json::from_str(&line)?;
                json!(speaker.tokenizer.render_chat(&chat.messages, chat.add_generation_prompt)?)
            }
        };
        printer.data(&answer.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn logits(speaker: &Speaker, line: &str) -> anyhow::Result<serde_json::Value> {
    let Ids { ids } = serde_json::from_str(line)?;
    let (vocab_size, context) = (speaker.model.vocab_size(), speaker.model.context());
    anyhow::ensure!(!ids.is_empty() && ids.len() <= context, "{} ids, expected 1 to {context}", ids.len());
    anyhow::ensure!(ids.iter().all(|&id| (id as usize) < vocab_size), "an id is not below {vocab_size}");
    let mut observer = NoObserver;
    let mut pass = Pass::new(&mut observer);
    let values = speaker.model.forward(&ids, 1, &mut pass).into_data_as::<f32>();
    let values = values.as_slice::<f32>().map_err(|error| anyhow::anyhow!("{error:?}"))?;
    Ok(json!({"logits": values.chunks_exact(vocab_size).collect::<Vec<_>>()}))
}
