//! `inkstone serve`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use inkstone_engine::{CachePrecision, Limits};
use inkstone_server::{KeyLimits, Keys, Loaded, ServerError, Settings};

use crate::cli::serve::{self, Serve};
use crate::hint::hinted;
use crate::model::{self, Speaker};
use crate::printer::Printer;

pub(crate) fn serve(args: &Serve, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    log_to_stderr(args.log_json);
    let settings = settings(args)?;
    let scheme = if args.tls_cert.is_some() { "https" } else { "http" };
    let (models, adapters) = (named(&args.models, runs), adapters(&args.adapters)?);
    expect_apart(models.iter().chain(&adapters).map(|(name, _)| name))?;
    let (runs, draft) = (runs.to_owned(), args.draft_model.clone());
    let load = move || {
        let mut loaded = Vec::new();
        for (n, (name, reference)) in models.iter().enumerate() {
            loaded.extend(load_one(name, reference, if n == 0 { &adapters } else { &[] }, &runs)?);
        }
        if let (Some(reference), Some(first)) = (&draft, loaded.first_mut()) {
            first.draft = Some(model::load_draft(reference, &first.model, &runs)?);
        }
        Ok::<_, anyhow::Error>(loaded)
    };
    let listening = |address: SocketAddr| printer.talk(&format!("listening on {scheme}://{address}"));
    let (told, stop) = tokio::sync::oneshot::channel();
    let told = std::sync::Mutex::new(Some(told));
    ctrlc::set_handler(move || {
        let told = told.lock().ok().and_then(|mut told| told.take());
        match told {
            // The server may be gone already.
            Some(told) => drop(told.send(())),
            // The second time there is no patience left.
            None => std::process::abort(),
        }
    })?;
    inkstone_server::serve(settings, load, listening, async {
        let _ = stop.await;
    })?;
    Ok(ExitCode::SUCCESS)
}

fn settings(args: &Serve) -> Result<Settings, ServerError> {
    let limits = KeyLimits { per_minute: args.requests_per_minute, concurrent: args.concurrent };
    Ok(Settings {
        address: SocketAddr::new(args.host, args.port),
        keys: match &args.api_key {
            Some(path) => Keys::read(path, limits)?,
            None => Keys::open(limits),
        },
        tls: args.tls_cert.clone().zip(args.tls_key.clone()),
        cors: args.cors.clone(),
        body_bytes: args.body_limit.saturating_mul(1 << 20),
        answer_time: Duration::from_secs(args.timeout),
        connections: 4096,
        grace: Duration::from_secs(args.grace),
        engine: Limits {
            cache_bytes: args.cache_memory as usize * (1 << 20),
            cache_precision: match args.cache_precision {
                serve::CachePrecision::F32 => CachePrecision::F32,
                serve::CachePrecision::Bf16 => CachePrecision::Bf16,
                serve::CachePrecision::Int8 => CachePrecision::Int8,
            },
            running: args.parallel,
            waiting: args.queue,
            pass_tokens: args.chunk,
            draft_tokens: args.draft,
        },
    })
}

/// Names and references of models, each written `NAME=MODEL`, or as a reference that is its name, too.
fn named(models: &[String], runs: &Path) -> Vec<(String, String)> {
    let named = |text: &String| match text.split_once('=') {
        Some((name, reference)) if !Path::new(text).exists() => (name.to_owned(), reference.to_owned()),
        _ => (name_of(text, runs), text.clone()),
    };
    models.iter().map(named).collect()
}

/// Names and folders of adapters, each written `NAME=DIR`.
fn adapters(adapters: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let named = |text: &String| {
        let named = text.split_once('=').map(|(name, folder)| (name.to_owned(), folder.to_owned()));
        named.ok_or_else(|| hinted(format!("--adapter {text}: no name"), "name it: --adapter NAME=DIR"))
    };
    adapters.iter().map(named).collect()
}

fn expect_apart<'a>(mut names: impl Iterator<Item = &'a String>) -> anyhow::Result<()> {
    let mut known = BTreeSet::new();
    match names.find(|&name| !known.insert(name)) {
        Some(name) => Err(hinted(format!("two models are called {name}"), "name them apart: -m NAME=MODEL")),
        None => Ok(()),
    }
}

/// A model, and the same with adapters around it.
fn load_one(name: &str, reference: &str, adapters: &[(String, String)], runs: &Path) -> anyhow::Result<Vec<Loaded>> {
    let folders: Vec<PathBuf> = adapters.iter().map(|(_, folder)| folder.into()).collect();
    let speakers = model::load_shared(reference, &folders, runs)?;
    let names = std::iter::once(name).chain(adapters.iter().map(|(name, _)| name.as_str()));
    let loaded = |(name, speaker): (&str, Speaker)| {
        let defaults = speaker.defaults();
        Loaded { name: name.to_owned(), model: speaker.model, tokenizer: speaker.tokenizer, defaults, draft: None }
    };
    Ok(names.zip(speakers).map(loaded).collect())
}

/// A model below the folder of runs is called by recipe and stage; any other one by its folder.
fn name_of(reference: &str, runs: &Path) -> String {
    let path = Path::new(reference);
    match path.strip_prefix(runs) {
        Ok(below) => below.to_string_lossy().into_owned(),
        Err(_) if path.exists() => {
            path.file_name().map_or(reference.into(), |name| name.to_string_lossy().into_owned())
        }
        Err(_) => reference.to_owned(),
    }
}

fn log_to_stderr(json: bool) {
    let plain = tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false);
    let plain = plain.with_max_level(tracing::Level::INFO).with_ansi(false);
    if json {
        plain.json().init();
    } else {
        plain.init();
    }
}
