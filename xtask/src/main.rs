//! Developer commands, called as `cargo xtask NAME`. The only place that may call Python.
//!
//! Every command ends with 0 (it holds), 1 (it was checked and does not hold) or 2 (it could not be checked).
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a developer's command line talks")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bodies;
mod ci;
mod conformance;
mod draws;
mod folder;
mod fresh;
mod kill_drill;
mod load;
mod memory;
mod page;
mod parity;
mod peers;
mod program;
mod python;
mod readme;
mod repo;
mod runs;
mod served;
mod threads;

/// Developer commands of Inkstone.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Format, lints, tests, documentation, licences: what every change must pass
    Ci(ci::Arguments),
    /// Compare what we save and compute with the outside programs that users have
    Parity(parity::Arguments),
    /// Let the clients that users have talk to our server
    Conformance(conformance::Arguments),
    /// Drive the page in a headless Chromium
    Page(page::Arguments),
    /// Let many clients at once try to bring our server down
    Load(load::Arguments),
    /// Send damaged requests to every route of our server
    Bodies(bodies::Arguments),
    /// Measure ours beside the programs that users would take instead
    Peers(peers::Arguments),
    /// Read, deduplicate, tokenise and shard a large generated text under a watch on memory
    Memory(memory::Arguments),
    /// Kill a run at random moments, resume it, and compare with one that was left alone
    KillDrill(kill_drill::Arguments),
    /// Compare the results of one thread, two threads, and two threads again
    Threads(threads::Arguments),
    /// Load a model folder of 1.1 B parameters and save it again: time, memory, the same bytes
    Folder(folder::Arguments),
    /// Clone into an empty folder and run the commands of the README
    Fresh(fresh::Arguments),
}

/// Whether what a command checks holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Holds,
    Fails,
}

impl From<bool> for Verdict {
    fn from(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }
}

fn main() -> ExitCode {
    let verdict = match Arguments::parse().task {
        Task::Ci(arguments) => ci::run(&arguments),
        Task::Parity(arguments) => parity::run(&arguments),
        Task::Conformance(arguments) => conformance::run(&arguments),
        Task::Page(arguments) => page::run(&arguments),
        Task::Load(arguments) => load::run(&arguments),
        Task::Bodies(arguments) => bodies::run(&arguments),
        Task::Peers(arguments) => peers::run(&arguments),
        Task::Memory(arguments) => memory::run(&arguments),
        Task::KillDrill(arguments) => kill_drill::run(&arguments),
        Task::Threads(arguments) => threads::run(&arguments),
        Task::Folder(arguments) => folder::run(&arguments),
        Task::Fresh(arguments) => fresh::run(&arguments),
    };
    match verdict {
        Ok(Verdict::Holds) => ExitCode::SUCCESS,
        Ok(Verdict::Fails) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
