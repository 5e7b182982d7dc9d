//! `inkstone ngram explain`.

use std::path::Path;

use inkstone_classic::ngram::reference::Reference;
use inkstone_classic::ngram::{
    BEGIN, Counted, Explained, Smoothing, Splitter, Talk, Vocabulary, WordId, explain as explain_words, pieces,
};

use super::open;
use crate::cli::ngram::Explain;
use crate::machine;
use crate::printer::Printer;

pub(super) fn explain(args: &Explain, printer: &Printer) -> anyhow::Result<()> {
    let (model, splitter) = open(&args.model, &args.words)?;
    let counted = args.text.as_ref().map(|text| TrainingText::count(text, &splitter, model.order(), printer));
    let counted = counted.transpose()?;
    let ask = |history: &[String], word: &str| counted.as_ref().and_then(|counted| counted.ask(history, word));
    let explained = explain_words(&model, &splitter, &args.sentence, counted.as_ref().map(|_| &ask as _))?;
    if args.json {
        return printer.json(&explained);
    }
    explained.iter().try_for_each(|word| print(word, printer))
}

/// What was counted in the text that a model was trained on.
struct TrainingText {
    vocabulary: Vocabulary,
    counts: Reference,
}

impl TrainingText {
    fn count(path: &Path, splitter: &Splitter, order: usize, printer: &Printer) -> anyhow::Result<Self> {
        let interrupt = machine::stop_on_ctrl_c()?;
        let mut vocabulary = Vocabulary::new();
        let mut sentences: Vec<Vec<WordId>> = Vec::new();
        let mut sentence = Vec::new();
        pieces(path, splitter.unit(), Talk { progress: printer, interrupt: &interrupt }, |piece, ends| {
            splitter.split(piece, |word| sentence.push(vocabulary.insert(word)))?;
            if ends {
                sentences.push(std::mem::take(&mut sentence));
            }
            Ok(())
        })?;
        let counts = Reference::new(&sentences, vocabulary.len(), order, Smoothing::ModifiedKneserNey, &[]);
        Ok(Self { vocabulary, counts })
    }

    fn ask(&self, history: &[String], word: &str) -> Option<Counted> {
        let history: Option<Vec<WordId>> = history.iter().map(|word| self.vocabulary.get(word)).collect();
        self.counts.counted(&history?, self.vocabulary.get(word).filter(|&word| word != BEGIN)?)
    }
}

fn print(word: &Explained, printer: &Printer) -> anyhow::Result<()> {
    let unknown = if word.unknown { ", unknown" } else { "" };
    printer.data(&format!(
        "{}  p = {:.3e} (log10 {:.4}), order {}{unknown}",
        word.word, word.probability, word.log10, word.order
    ))?;
    for step in &word.path {
        let history = if step.history.is_empty() { "(no history)".to_owned() } else { step.history.join(" ") };
        let what = match (step.found, step.history_known) {
            (true, _) => format!("found, log10 p {:.4}", step.log10),
            (false, true) => {
                format!("not found, back-off weight {:.4} (log10 {:.4})", 10f64.powf(step.log10), step.log10)
            }
            (false, false) => "history never seen, back-off weight 1".to_owned(),
        };
        let counted = step.counted.as_ref().map(|counted| {
            format!(
                "; count {} of {}, discount {:.4}, {} different words after it",
                counted.count, counted.history_count, counted.discount, counted.history_types
            )
        });
        printer.data(&format!("    {history}: {what}{}", counted.unwrap_or_default()))?;
    }
    Ok(())
}
