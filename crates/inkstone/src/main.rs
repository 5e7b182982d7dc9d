//! The program: parse arguments, set the scene, run one verb, report what went wrong.

mod cli;
mod commands;
mod hint;
mod machine;
mod model;
mod printer;
mod report;
mod stages;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::printer::Printer;

/// Big buffers come and go with every training step; this allocator keeps them instead of handing
/// them back to the system and faulting them in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let printer = Printer::new(cli.global.no_progress, cli.global.quiet);
    if let Some(threads) = cli.global.threads {
        // Only fails when the pool exists already, and then it has the number from the environment.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    }
    let result = match inkstone_kernels::isa::Isa::forced() {
        // A server waits for its clients, and inside the pool would keep one of its threads.
        Ok(_) if matches!(cli.command, Command::Serve(_)) => commands::dispatch(cli, &printer),
        Ok(_) => rayon::scope(|_| commands::dispatch(cli, &printer)),
        Err(message) => Err(anyhow::anyhow!(message)),
    };
    match result {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            printer.error(&error);
            ExitCode::from(2)
        }
    }
}

/// Whoever read our output has seen enough, as `head` does.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
