use inkstone_classic::word2vec::{
    Architecture, Event, Lesson, Objective, PhraseSettings, SentenceReader, Sentences, Space, Vectors, Vocabulary,
    Word2VecConfig, Words, join_phrases, read_sentences, train,
};

use super::file;

const CONFIG: Word2VecConfig = Word2VecConfig {
    architecture: Architecture::SkipGram,
    objective: Objective::Negatives(5),
    size: 20,
    window: 3,
    min_count: 2,
    sample: 0.0,
    epochs: 8,
    learning_rate: 0.05,
};

const GROUPS: [[&str; 4]; 4] = [
    ["cat", "dog", "cow", "pig"],
    ["red", "blue", "green", "grey"],
    ["one", "two", "three", "four"],
    ["墨", "砚", "纸", "笔"],
];

/// Sentences in which the words of a group stand in one another's place.
fn text() -> (Vocabulary, Sentences) {
    let mut reader = SentenceReader::new(Words::Spaced);
    let mut state = 1u64;
    let mut draw = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    for _ in 0..6000 {
        let group = draw(4);
        let words: Vec<&str> = (0..6).map(|_| GROUPS[group][draw(4)]).collect();
        reader.push(&words.join(" "));
    }
    reader.finish(2).unwrap()
}

fn lesson<'a>(text: (&'a Vocabulary, &'a Sentences), config: &'a Word2VecConfig, seed: u64) -> Lesson<'a> {
    Lesson { vocabulary: text.0, sentences: text.1, config, seed, state: None }
}

fn learn(config: &Word2VecConfig, seed: u64) -> Vectors {
    let (vocabulary, sentences) = text();
    train(&lesson((&vocabulary, &sentences), config, seed), &mut |_| true).unwrap()
}

/// The three nearest words of each word are those of its group.
fn finds_groups(vectors: Vectors) {
    let space = Space::new(vectors);
    for group in GROUPS {
        for word in group {
            let id = space.find(word).unwrap();
            let near = space.nearest(space.unit(id), &[id], 3);
            assert!(near.iter().all(|near| group.contains(&near.word.as_str())), "{word}: {near:?}");
        }
    }
}

#[test]
fn words_of_a_group_come_together_whatever_the_method() {
    for architecture in [Architecture::SkipGram, Architecture::Cbow] {
        for objective in [Objective::Negatives(5), Objective::HierarchicalSoftmax] {
            finds_groups(learn(&Word2VecConfig { architecture, objective, ..CONFIG }, 1));
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing_and_the_seed_does() {
    let config = Word2VecConfig { epochs: 1, sample: 1e-2, ..CONFIG };
    let on = |threads: usize, seed| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| learn(&config, seed))
    };
    let one = on(1, 1);
    assert!([2, 3, 8].into_iter().all(|threads| on(threads, 1) == one));
    assert_ne!(on(2, 2), one);
}

#[test]
fn it_stops_when_asked() {
    let (vocabulary, sentences) = text();
    let lesson = lesson((&vocabulary, &sentences), &CONFIG, 1);
    assert!(train(&lesson, &mut |_| false).unwrap_err().to_string().contains("stopped"));
}

#[test]
fn stopped_anywhere_it_goes_on_to_the_same_vectors() {
    let (vocabulary, sentences) = text();
    let config = Word2VecConfig { epochs: 3, sample: 1e-2, ..CONFIG };
    let whole = learn(&config, 1);
    let folder = tempfile::tempdir().unwrap();
    let lesson = Lesson { state: Some((folder.path(), 20_000)), ..lesson((&vocabulary, &sentences), &config, 1) };
    let mut begun = Vec::new();
    for stop in [5_000, 36_000, 50_000, 72_500, 107_900] {
        let mut first = None;
        let stopped = train(&lesson, &mut |event| {
            let Event::Read(read) = event else { panic!("{event:?}") };
            first.get_or_insert(read);
            read < stop
        });
        assert!(stopped.is_err());
        begun.extend(first);
    }
    assert!(begun.is_sorted() && begun[4] > 72_000, "{begun:?}");
    assert!(train(&lesson, &mut |_| true).unwrap() == whole);
}

#[test]
fn a_damaged_checkpoint_is_named_and_passed_over() {
    let (vocabulary, sentences) = text();
    let folder = tempfile::tempdir().unwrap();
    let lesson = Lesson { state: Some((folder.path(), 20_000)), ..lesson((&vocabulary, &sentences), &CONFIG, 1) };
    train(&lesson, &mut |event| matches!(event, Event::Read(0..60_000))).unwrap_err();
    let files = std::fs::read_dir(folder.path().join("checkpoint")).unwrap();
    let tensors = files.flatten().map(|entry| entry.path()).find(|path| path.extension().unwrap() == "safetensors");
    let mut bytes = std::fs::read(tensors.as_ref().unwrap()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(tensors.unwrap(), bytes).unwrap();
    let mut warnings = Vec::new();
    let vectors = train(&lesson, &mut |event| {
        if let Event::Warning(line) = event {
            warnings.push(line.to_owned());
        }
        true
    });
    assert!(vectors.unwrap() == learn(&CONFIG, 1));
    assert!(warnings.len() == 1 && warnings[0].contains("does not match its hash"), "{warnings:?}");
}

#[test]
fn empty_sentences_and_long_ones_are_no_trouble() {
    let mut reader = SentenceReader::new(Words::Spaced);
    reader.push("");
    reader.push("  \t ");
    reader.push(&"a b ".repeat(1700));
    reader.push("a");
    let (vocabulary, sentences) = reader.finish(1).unwrap();
    assert_eq!((vocabulary.len(), sentences.words()), (2, 3401));
    assert!(sentences.iter().all(|sentence| (1..=1000).contains(&sentence.len())));
    let vectors = train(&lesson((&vocabulary, &sentences), &CONFIG, 1), &mut |_| true).unwrap();
    assert!(vectors.values().iter().all(|x| x.is_finite()));
}

#[test]
fn too_little_text_and_impossible_settings_are_errors() {
    let mut reader = SentenceReader::new(Words::Spaced);
    reader.push("a b c a");
    let error = reader.finish(2).unwrap_err().to_string();
    assert!(error.contains("1 words that come 2 times or more (of 4 words)"), "{error}");
    let bad = [
        Word2VecConfig { size: 0, ..CONFIG },
        Word2VecConfig { window: 0, ..CONFIG },
        Word2VecConfig { objective: Objective::Negatives(0), ..CONFIG },
        Word2VecConfig { sample: f64::NAN, ..CONFIG },
        Word2VecConfig { learning_rate: -1.0, ..CONFIG },
    ];
    assert!(bad.iter().all(|config| config.check().is_err()));
}

#[test]
fn a_text_that_is_not_utf8_names_the_line() {
    let (_folder, path) = file("text", b"good line\nbad \xff line\n");
    let error = read_sentences(&path, Words::Spaced, &mut |_| {}).unwrap_err().to_string();
    assert!(error.ends_with("line 2: not UTF-8 from byte 4 on"), "{error}");
}

#[test]
fn words_are_ordered_by_count_and_rare_ones_left_out() {
    let mut reader = SentenceReader::new(Words::HanApart);
    reader.push("墨水和墨 ink ink ink1");
    let (vocabulary, sentences) = reader.finish(2).unwrap();
    assert_eq!(vocabulary.words().iter().map(|word| &**word).collect::<Vec<_>>(), ["墨", "ink"]);
    assert_eq!((vocabulary.counts(), sentences.words()), (&[2, 2][..], 4));
}

#[test]
fn pairs_that_stay_together_become_phrases() {
    let mut reader = SentenceReader::new(Words::HanApart);
    for n in 0..20 {
        reader.push(&format!("new york is w{n} x{n} y{n} z{n}"));
        reader.push(&format!("北京 u{n} v{n} s{n} t{n} is"));
    }
    let (vocabulary, sentences) = reader.finish(1).unwrap();
    let settings = PhraseSettings { min_count: 5, threshold: 2.0 };
    let (joined, text) = join_phrases((&vocabulary, &sentences), settings, 5).unwrap();
    let mut words: Vec<&str> = joined.words().iter().map(|word| &**word).collect();
    words.sort_unstable();
    assert_eq!(words, ["is", "new_york", "北京"]);
    assert_eq!(text.words(), 80);
    let nonsense = PhraseSettings { threshold: f64::NAN, ..settings };
    assert!(join_phrases((&vocabulary, &sentences), nonsense, 5).is_err());
}
