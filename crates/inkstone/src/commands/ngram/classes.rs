//! `inkstone ngram classes`.

use std::path::Path;

use inkstone_classic::ngram::classes::{ClassModel, Classes as WordClasses};
use inkstone_classic::ngram::count::Room;
use inkstone_classic::ngram::{BEGIN, END, Smoothing, Splitter, Talk, Training, Unit, Vocabulary, WordId, pieces};
use inkstone_recipe::Progress;
use serde_json::json;

use super::train::folder_of;
use crate::cli::ngram::Classes;
use crate::machine;
use crate::printer::Printer;

/// Words of a class that are shown.
const SHOWN: usize = 12;

pub(super) fn classes(args: &Classes, printer: &Printer) -> anyhow::Result<()> {
    let interrupt = machine::stop_on_ctrl_c()?;
    let talk = Talk { progress: printer, interrupt: &interrupt };
    let mut vocabulary = Vocabulary::new();
    let sentences = read(&args.text, talk, |word| vocabulary.insert(word))?;
    let task = printer.task("finding classes", None, "rounds");
    let classes = WordClasses::find(&sentences, &vocabulary, args.classes, args.rounds)?;
    drop(task);
    classes.write(&args.out, &vocabulary)?;
    let perplexity =
        args.held_out.as_ref().map(|path| perplexity(args, path, (&vocabulary, &sentences, &classes), talk));
    let perplexity = perplexity.transpose()?;
    if args.json {
        let members = classes.members();
        return printer.json(&json!({"classes": members.len(), "words": vocabulary.len(), "perplexity": perplexity}));
    }
    for (class, words) in classes.members() {
        let shown: Vec<&str> = words.iter().take(SHOWN).map(|&word| vocabulary.word(word)).collect();
        let more = if words.len() > SHOWN { " …" } else { "" };
        printer.data(&format!("{class:>5}  {}{more}", shown.join(" ")))?;
    }
    perplexity.map_or(Ok(()), |perplexity| {
        Ok(printer.data(&format!("perplexity of the model over classes: {perplexity:.2}"))?)
    })
}

fn read(path: &Path, talk: Talk<'_>, mut id: impl FnMut(&str) -> WordId) -> anyhow::Result<Vec<Vec<WordId>>> {
    let splitter = Splitter::new(Unit::Words, None)?;
    let mut sentences = Vec::new();
    pieces(path, Unit::Words, talk, |sentence, _| {
        let mut words = Vec::new();
        splitter.split(sentence, |word| words.push(id(word)))?;
        sentences.push(words);
        Ok(())
    })?;
    Ok(sentences)
}

/// Of the model over classes on a text.
fn perplexity(
    args: &Classes,
    path: &Path,
    (vocabulary, sentences, classes): (&Vocabulary, &[Vec<WordId>], &WordClasses),
    talk: Talk<'_>,
) -> anyhow::Result<f64> {
    let room = Room { folder: folder_of(&args.out), bytes: 1 << 28 };
    let training = Training { order: args.order, smoothing: Smoothing::ModifiedKneserNey, prune: Vec::new(), room };
    let model = ClassModel::train(sentences, classes.clone(), &training, talk)?;
    let (mut log10, mut tokens) = (0.0, 0.0);
    for sentence in read(path, talk, |word| vocabulary.id(word))? {
        let words = [&[BEGIN], sentence.as_slice(), &[END]].concat();
        for end in 1..words.len() {
            log10 += model.log10_probability(&words[..end], words[end]);
            tokens += 1.0;
        }
    }
    Ok(10f64.powf(-log10 / f64::max(tokens, 1.0)))
}
