//! Batches: nothing lost, nothing twice, nothing across.

use std::sync::Arc;

use inkstone_corpus::loader::{Batch, IGNORE, Loader, LoaderConfig, Packing};
use inkstone_corpus::shards::TokenShard;
use inkstone_corpus::{CorpusError, Split};
use proptest::prelude::*;

use crate::shards::write;

const PAD: u32 = 0;

/// A shard whose every token id is unique (from 1), so that each can be counted.
fn shard(lengths: &[usize], masks: Option<&[Vec<bool>]>) -> Arc<TokenShard> {
    let folder = tempfile::tempdir().unwrap();
    let mut next = 1;
    let documents: Vec<Vec<u32>> = lengths
        .iter()
        .map(|&length| {
            next += length as u32;
            (next - length as u32..next).collect()
        })
        .collect();
    write(folder.path(), 100_000, &documents, masks);
    Arc::new(TokenShard::open(folder.path(), Split::Train).unwrap())
}

fn config(packing: Packing, batch_size: usize, context: usize) -> LoaderConfig {
    LoaderConfig { batch_size, context, packing, separate_documents: true, shuffle: true, seed: 3, pad_id: PAD }
}

fn rows(batch: &Batch) -> impl Iterator<Item = (&[u32], &[i32], &[u32])> {
    let width = batch.context;
    batch.ids.chunks(width).zip(batch.labels.chunks(width)).zip(batch.starts.chunks(width)).map(|((i, l), s)| (i, l, s))
}

/// The ids of an epoch, in order, without padding.
fn epoch_ids(loader: &mut Loader, epoch: u64) -> Vec<u32> {
    let begin: u64 = (0..epoch).map(|e| loader.windows_per_epoch(e)).sum();
    let windows = loader.windows_per_epoch(epoch);
    (begin..begin + windows).flat_map(|window| loader.batch(window).ids).filter(|&id| id != PAD).collect()
}

fn owner(lengths: &[usize], id: u32) -> usize {
    let mut end = 1;
    lengths
        .iter()
        .position(|&length| {
            end += length as u32;
            id < end
        })
        .unwrap()
}

fn any_config() -> impl Strategy<Value = LoaderConfig> {
    (1..5_usize, 1..20_usize, any::<bool>(), any::<bool>(), any::<bool>(), any::<u64>()).prop_map(
        |(batch_size, context, whole, separate_documents, shuffle, seed)| LoaderConfig {
            batch_size,
            context,
            packing: if whole { Packing::Whole } else { Packing::Stream },
            separate_documents,
            shuffle,
            seed,
            pad_id: PAD,
        },
    )
}

fn any_lengths() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..25_usize, 1..80).prop_filter("some token", |lengths| lengths.iter().sum::<usize>() > 0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_epoch_has_every_token_once(lengths in any_lengths(), config in any_config(), epoch in 0..4_u64) {
        let config = LoaderConfig { batch_size: 1, ..config };
        let mut loader = Loader::new(shard(&lengths, None), config.clone()).unwrap();
        let mut found = epoch_ids(&mut loader, epoch);
        found.sort_unstable();
        let mut first = 1_u32;
        let mut expected = Vec::new();
        for &length in &lengths {
            let taken = if config.packing == Packing::Whole { length.min(config.context) } else { length };
            expected.extend(first..first + taken as u32);
            first += length as u32;
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn labels_and_starts_are_right(lengths in any_lengths(), config in any_config(), index in 0..6_u64) {
        let mut loader = Loader::new(shard(&lengths, None), config.clone()).unwrap();
        for (ids, labels, starts) in rows(&loader.batch(index)) {
            for at in 0..ids.len() {
                check_position(&lengths, &config, (ids, labels, starts), at)?;
            }
        }
    }

    #[test]
    fn a_batch_does_not_depend_on_the_ones_before(lengths in any_lengths(), config in any_config(), order in prop::collection::vec(0..12_u64, 1..12)) {
        let shard = shard(&lengths, None);
        let mut forward = Loader::new(Arc::clone(&shard), config.clone()).unwrap();
        let expected: Vec<_> = (0..12).map(|index| forward.batch(index)).collect();
        let mut loader = Loader::new(shard, config).unwrap();
        for index in order {
            prop_assert_eq!(&loader.batch(index), &expected[index as usize]);
        }
    }
}

type Row<'a> = (&'a [u32], &'a [i32], &'a [u32]);

fn check_position(
    lengths: &[usize],
    config: &LoaderConfig,
    (ids, labels, starts): Row<'_>,
    at: usize,
) -> Result<(), TestCaseError> {
    let (id, label) = (ids[at], labels[at]);
    if id == PAD {
        prop_assert_eq!(label, IGNORE);
        return Ok(());
    }
    let document = owner(lengths, id);
    let last: usize = lengths[..=document].iter().sum();
    if id as usize != last {
        prop_assert_eq!(label, id as i32 + 1);
    } else if config.separate_documents || config.packing == Packing::Whole {
        prop_assert_eq!(label, IGNORE);
    } else if let Some(&next) = ids.get(at + 1).filter(|&&next| next != PAD) {
        prop_assert_eq!(label, next as i32);
    }
    let begin = (0..=at).rev().take_while(|&t| owner(lengths, ids[t]) == document).last().unwrap_or(at);
    prop_assert_eq!(starts[at] as usize, if config.separate_documents { begin } else { 0 });
    Ok(())
}

#[test]
fn the_shuffle_differs_by_epoch_and_seed_only() {
    let shard = shard(&[5; 100], None);
    let ids = |seed: u64, epoch: u64, shuffle: bool| {
        let config = LoaderConfig { seed, shuffle, ..config(Packing::Stream, 1, 8) };
        epoch_ids(&mut Loader::new(Arc::clone(&shard), config).unwrap(), epoch)
    };
    assert_eq!(ids(1, 0, true), ids(1, 0, true));
    assert_ne!(ids(1, 0, true), ids(1, 1, true));
    assert_ne!(ids(1, 0, true), ids(2, 0, true));
    assert!(ids(1, 0, false).into_iter().eq(1..=500));
}

#[test]
fn only_marked_tokens_are_labels() {
    let masks = vec![vec![false, false, true, true, false, true]];
    let shard = shard(&[6], Some(&masks));
    let mut loader = Loader::new(shard, config(Packing::Whole, 1, 8)).unwrap();
    let batch = loader.batch(0);
    assert_eq!(batch.ids, [1, 2, 3, 4, 5, 6, PAD, PAD]);
    assert_eq!(batch.labels, [IGNORE, 3, 4, IGNORE, 6, IGNORE, IGNORE, IGNORE]);
    assert_eq!(batch.starts, [0, 0, 0, 0, 0, 0, 6, 6]);
}

#[test]
fn evaluation_measures_every_token_once() {
    for packing in [Packing::Stream, Packing::Whole] {
        let config = LoaderConfig { shuffle: false, ..config(packing, 3, 8) };
        let mut loader = Loader::new(shard(&[7; 20], None), config).unwrap();
        let batches = loader.batches_per_pass();
        let ids: Vec<_> = (0..batches).flat_map(|index| loader.pass_batch(index).ids).filter(|&id| id != PAD).collect();
        assert!(ids.into_iter().eq(1..=140));
    }
}

#[test]
fn a_context_longer_than_everything_is_padded() {
    let mut loader = Loader::new(shard(&[2, 3], None), config(Packing::Stream, 2, 64)).unwrap();
    assert_eq!(loader.windows_per_epoch(0), 1);
    let batch = loader.batch(0);
    assert_eq!(batch.ids.iter().filter(|&&id| id != PAD).count(), 10);
    assert_eq!(batch.labels.iter().filter(|&&label| label != IGNORE).count(), 6);
}

#[test]
fn nothing_to_load_is_an_error() {
    let Err(error) = Loader::new(shard(&[0, 0], None), config(Packing::Stream, 1, 8)) else { panic!("taken") };
    assert!(matches!(error, CorpusError::NoTokens { .. }));
    let Err(error) = Loader::new(shard(&[1], None), config(Packing::Stream, 1, 0)) else { panic!("taken") };
    assert!(error.to_string().starts_with("`context`"));
}
