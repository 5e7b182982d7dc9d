//! `cargo xtask conformance`: clients that users have talk to our server (calls Python and curl).

use std::process::Command;

use anyhow::Result;

use crate::program::Program;
use crate::served::{KEY, ModelArguments, Served};
use crate::{Verdict, python, repo};

/// The clients, pinned.
const CLIENTS: [&str; 2] = ["openai==2.54.0", "httpx==0.28.1"];

/// The evaluation harness, pinned, with what its client of OpenAI's API needs.
const HARNESS: [&str; 3] = ["lm_eval[api]==0.4.11", "transformers==5.24.0", "numpy==2.4.6"];

/// What is checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Python with which the clients' environment is made
    #[arg(long, default_value = "python3")]
    python: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    let (program, scratch) = (Program::build()?, repo::scratch("conformance")?);
    let model = arguments.model.folder(&program, &scratch)?;
    let python = python::environment(&arguments.python, "openai", &CLIENTS)?;
    let served = Served::start(&program, &model, &scratch, &[])?;
    let client = repo::section("the official client", || {
        let script = repo::root().join("fixtures/scripts/peers/openai_client.py");
        repo::succeeds(Command::new(&python).arg(script).args([&served.address, KEY]))
    })?;
    let curl = repo::section("curl", || curl(&served.address))?;
    let harness = repo::section("lm_eval, local-completions", || {
        let python = python::environment(&arguments.python, "lm-eval", &HARNESS)?;
        let script = repo::root().join("fixtures/scripts/peers/lm_eval_task.py");
        repo::succeeds(Command::new(python).arg(script).args([&served.address, KEY]).arg(&model))
    })?;
    Ok((client && curl && harness).into())
}

/// An address, what is sent, and the status that is expected.
type Question = (&'static str, Option<&'static str>, &'static str);

const QUESTIONS: [Question; 8] = [
    ("/health", None, "200"),
    ("/ready", None, "200"),
    ("/", None, "200"),
    ("/metrics", None, "200"),
    ("/v1/nothing", None, "404"),
    ("/tokenize", Some("{\"prompt\": \"砚\", \"add_special_tokens\": false}"), "200"),
    (
        "/v1/chat/completions",
        Some("{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"max_tokens\": 4}"),
        "200",
    ),
    ("/v1/chat/completions", Some("{not json"), "400"),
];

fn curl(address: &str) -> Result<bool> {
    let mut holds = true;
    for (path, body, expected) in QUESTIONS {
        let mut command = Command::new("curl");
        command.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", &format!("Authorization: Bearer {KEY}")]);
        command.args(body.iter().flat_map(|body| ["-d", body])).arg(format!("{address}{path}"));
        let status = String::from_utf8_lossy(&command.output()?.stdout).into_owned();
        println!("{} {path}: {status}", if status == expected { "ok  " } else { "FAIL" });
        holds &= status == expected;
    }
    Ok(holds)
}
