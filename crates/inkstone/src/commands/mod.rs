//! One function per verb.

mod bench;
mod bench_drafts;
mod bench_model;
mod bench_recurrent;
mod bench_serve;
mod chat;
mod debug;
mod diff;
mod doctor;
mod eval;
mod gc;
mod generate;
mod info;
mod ls;
mod merge;
mod new;
mod ngram;
mod plan;
mod profile;
mod quantize;
mod run;
mod serve;
mod show;
mod verify;
mod word2vec;

use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::printer::Printer;

/// Runs the verb of the command line.
pub(crate) fn dispatch(cli: Cli, printer: &Printer) -> anyhow::Result<ExitCode> {
    let runs = &cli.global.runs;
    match cli.command {
        Command::Run(args) => run::run(&args, runs, printer),
        Command::Plan(args) => plan::plan(&args, runs, printer),
        Command::New(args) => new::new(&args, printer),
        Command::Verify(args) => verify::verify(&args, runs, printer),
        Command::Show(args) => show::show(&args, runs, printer),
        Command::Ls(args) => ls::ls(&args, runs, printer),
        Command::Gc(args) => gc::gc(&args, runs, printer),
        Command::Diff(args) => diff::diff(&args, runs, printer),
        Command::Chat(args) => chat::chat(&args, runs, printer),
        Command::Generate(args) => generate::generate(&args, runs, printer),
        Command::Serve(args) => serve::serve(&args, runs, printer),
        Command::Eval(args) => eval::eval(&args, runs, printer),
        Command::Merge(args) => merge::merge(&args, runs, printer),
        Command::Quantize(args) => quantize::quantize(&args, runs, printer),
        Command::Convert(args) => quantize::convert(&args, runs, printer),
        Command::Word2Vec(args) => word2vec::word2vec(&args, runs, printer),
        Command::Info(args) => info::info(&args, runs, printer),
        Command::Doctor(args) => doctor::doctor(&args, printer),
        Command::Ngram(args) => ngram::ngram(&args, printer),
        Command::Bench(args) => bench::bench(&args, runs, printer),
        Command::Debug(args) => debug::debug(&args, runs, printer),
    }
}
