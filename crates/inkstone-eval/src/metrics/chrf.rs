//! chrF2 (Popović 2015): how many runs of one to six characters two texts have in common, recall counting twice as much.

use inkstone_corpus::draw::Draw;
use inkstone_train::interval::Share;

use super::{common, ngrams};

const ORDER: usize = 6;
/// The square of β = 2.
const FACTOR: f64 = 4.0;
/// Samples of the bootstrap.
const SAMPLES: usize = 400;

/// For each order the runs of a text, of its reference, and of both.
type Counts = [[u64; 3]; ORDER];

/// chrF2 of all texts together, each beside its reference, in percent; white space is not counted.
pub fn chrf(pairs: &[(&str, &str)]) -> f64 {
    let counts: Vec<Counts> = pairs.iter().map(|pair| count(*pair)).collect();
    score(counts.iter())
}

/// [`chrf`] as a share, with the interval of 95 of a hundred samples of the pairs, drawn with replacement from `seed` (Koehn 2004).
pub fn chrf_interval(pairs: &[(&str, &str)], seed: u64) -> Share {
    let counts: Vec<Counts> = pairs.iter().map(|pair| count(*pair)).collect();
    let sample = |index: usize| {
        let mut draw = Draw::new(seed, "bootstrap", index);
        score((0..counts.len()).map(|_| &counts[draw.below(counts.len())]))
    };
    let mut samples: Vec<f64> = (0..SAMPLES).map(sample).collect();
    samples.sort_by(f64::total_cmp);
    let at = |share: f64| samples[(share * (SAMPLES - 1) as f64).round() as usize] / 100.0;
    Share { value: score(counts.iter()) / 100.0, low: at(0.025), high: at(0.975) }
}

fn count((text, reference): (&str, &str)) -> Counts {
    let [text, reference] =
        [text, reference].map(|text| text.chars().filter(|c| !c.is_whitespace()).collect::<Vec<_>>());
    std::array::from_fn(|order| {
        let (ours, theirs) = (ngrams(&text, order + 1), ngrams(&reference, order + 1));
        [ours.values().sum(), theirs.values().sum(), common(&ours, &theirs)]
    })
}

/// Of the sums of counts, in percent.
fn score<'a>(counts: impl Iterator<Item = &'a Counts>) -> f64 {
    let mut sums = [[0_u64; 3]; ORDER];
    for one in counts {
        sums.iter_mut().zip(one).for_each(|(sum, one)| sum.iter_mut().zip(one).for_each(|(sum, n)| *sum += n));
    }
    let orders: Vec<_> = sums.iter().filter(|[ours, theirs, _]| *ours > 0 && *theirs > 0).collect();
    let mean = |side: usize| {
        orders.iter().map(|sum| sum[2] as f64 / sum[side] as f64).sum::<f64>() / orders.len().max(1) as f64
    };
    let (precision, recall) = (mean(0), mean(1));
    if precision + recall == 0.0 {
        return 0.0;
    }
    100.0 * (1.0 + FACTOR) * precision * recall / (FACTOR * precision + recall)
}
