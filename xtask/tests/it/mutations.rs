//! Every parser of outside bytes over damaged files: it may refuse them, and it may not panic.

use std::panic::catch_unwind;

#[allow(dead_code, unreachable_pub, reason = "a crate of its own for cargo-fuzz")]
#[path = "../../../fuzz/src/lib.rs"]
mod fuzz;

use fuzz::{TARGETS, Target};

/// Damaged files for each seed.
const MUTANTS: u64 = 100;

/// `SplitMix64`.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// A few of: a flipped bit, a byte of its own, a cut end, a repeated piece, a missing piece, bytes that parsers dislike.
fn damaged(good: &[u8], draws: &mut Draws) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=draws.below(3) {
        let at = draws.below(bytes.len() + 1);
        let end = at + draws.below(bytes.len() - at + 1);
        match draws.below(6) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << draws.below(8),
            2 => bytes.truncate(at),
            3 => bytes.extend_from_within(at..end),
            4 => drop(bytes.drain(at..end)),
            _ => {
                let nasty: [&[u8]; 6] =
                    [b"\0", b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"\xf0\x9f", b"[[[[[[[[", b"-1e999", b"\"}\n{"];
                bytes.splice(at..at, nasty[draws.below(6)].iter().copied());
            }
        }
    }
    bytes
}

fn attack(target: &Target) -> Vec<String> {
    let mut panics = Vec::new();
    for (number, seed) in (target.seeds)().iter().enumerate() {
        let mut draws = Draws(number as u64);
        let mutants = (0..MUTANTS).map(|_| damaged(seed, &mut draws));
        for bytes in [seed.clone(), Vec::new()].into_iter().chain(mutants) {
            if catch_unwind(|| (target.run)(&bytes)).is_err() {
                panics.push(format!("{}: {:?}", target.name, String::from_utf8_lossy(&bytes)));
            }
        }
    }
    panics
}

#[test]
fn no_parser_panics() {
    let panics: Vec<String> = TARGETS.iter().flat_map(attack).collect();
    assert!(panics.is_empty(), "{} panics, such as\n{}", panics.len(), panics.join("\n"));
}

#[test]
fn every_target_is_run_by_cargo_fuzz_too() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/fuzz_targets");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let mut names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    files.sort();
    names.sort_unstable();
    assert_eq!(files, names);
}
