//! `inkstone ngram`.

mod classes;
mod explain;
mod folder;
mod generate;
mod train;

pub(super) use folder::{eval_folder, generate_folder};

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use inkstone_classic::ngram::{Evaluation, Mixture, Model, Splitter, Talk, Unit, evaluate, folder as model_folder};

use crate::cli::ngram::{EvalNgram, Ngram, NgramCommand, UnitName, Words};
use crate::machine;
use crate::printer::{Printer, thousands};

pub(crate) fn ngram(args: &Ngram, printer: &Printer) -> anyhow::Result<ExitCode> {
    match &args.what {
        NgramCommand::Train(args) => train::train(args, printer),
        NgramCommand::Build(args) => train::build(args, printer),
        NgramCommand::Eval(args) => eval(args, printer),
        NgramCommand::Explain(args) => explain::explain(args, printer),
        NgramCommand::Generate(args) => generate::generate(args, printer),
        NgramCommand::Classes(args) => classes::classes(args, printer),
    }
    .map(|()| ExitCode::SUCCESS)
}

impl UnitName {
    fn unit(self) -> Unit {
        match self {
            Self::Words => Unit::Words,
            Self::Characters => Unit::Characters,
            Self::Tokens => Unit::Tokens,
        }
    }
}

impl Words {
    /// What a word is: as asked, else as the model says, else words.
    fn splitter(&self, told: Option<Unit>) -> anyhow::Result<Splitter> {
        let by_tokenizer = self.tokenizer.as_ref().map(|_| Unit::Tokens);
        let unit = self.unit.map(UnitName::unit).or(told).or(by_tokenizer).unwrap_or(Unit::Words);
        Ok(Splitter::load(unit, self.tokenizer.as_deref())?)
    }
}

/// A model with what cuts texts for it: a file, or the folder of a stage.
fn open(path: &Path, words: &Words) -> anyhow::Result<(Model, Splitter)> {
    if model_folder::is_ngram_folder(path) {
        return model_folder::load(path).with_context(|| format!("opening {}", path.display()));
    }
    let model = Model::open(path).with_context(|| format!("opening {}", path.display()))?;
    let splitter = words.splitter(model.unit())?;
    Ok((model, splitter))
}

fn eval(args: &EvalNgram, printer: &Printer) -> anyhow::Result<()> {
    let (model, splitter) = open(&args.model, &args.words)?;
    let interrupt = machine::stop_on_ctrl_c()?;
    let mixture = Mixture { cache: args.cache.map(|weight| (args.cache_size, weight)) };
    let talk = Talk { progress: printer, interrupt: &interrupt };
    let evaluation = evaluate(&model, &splitter, &args.text, mixture, talk)?;
    print(&evaluation, args.json, printer)
}

/// Shows how well a model predicts a text.
pub(super) fn print(evaluation: &Evaluation, json: bool, printer: &Printer) -> anyhow::Result<()> {
    if json {
        return printer.json(evaluation);
    }
    printer.data(&format!("loss           {:.4} nats per token", evaluation.loss))?;
    printer.data(&format!(
        "perplexity     {:.2} ({:.2} without unknown words)",
        evaluation.perplexity, evaluation.perplexity_known
    ))?;
    printer.data(&format!("bits per byte  {:.4}", evaluation.bits_per_byte))?;
    printer.data(&format!(
        "tokens         {} in {} sentences ({} bytes), {} unknown",
        thousands(evaluation.tokens),
        thousands(evaluation.sentences),
        thousands(evaluation.bytes),
        thousands(evaluation.unknown)
    ))?;
    let share = |&n: &u64| format!("{:.1} %", 100.0 * n as f64 / evaluation.tokens as f64);
    let shares: Vec<String> = evaluation.orders.iter().map(share).collect();
    printer.data(&format!("found in       {} (n-grams of 1, 2, … words)", shares.join(", ")))?;
    printer.data(&format!("speed          {} tokens/s", thousands(evaluation.tokens_per_second as u64)))?;
    Ok(())
}
