//! Biases that an architecture learns for each kind of distance between a query and a key (arXiv:1910.10683, section 2.1).

use burn::tensor::Tensor;
use inkstone_nn::ops::Bias;

/// How distances are told apart: half of the kinds are single distances, the others grow logarithmically.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Distances {
    /// Kinds.
    pub(crate) kinds: usize,
    /// From this distance on all are of one kind.
    pub(crate) longest: usize,
    /// Whether half of the kinds are for keys behind the query.
    pub(crate) both_ways: bool,
}

impl Distances {
    /// The kind of the distance from a query to a key.
    pub(crate) fn kind(&self, query: usize, key: usize) -> u32 {
        let kinds = self.kinds / if self.both_ways { 2 } else { 1 };
        let behind = key > query;
        let far = if behind && !self.both_ways { 0 } else { query.abs_diff(key) };
        let (base, exact) = (if behind && self.both_ways { kinds } else { 0 }, kinds / 2);
        if far < exact {
            return (base + far) as u32;
        }
        // In f32, as the reference implementations do it.
        let longest = self.longest as f32 / exact as f32;
        let grown = (far as f32 / exact as f32).ln() / longest.ln() * (kinds - exact) as f32;
        (base + exact.saturating_add(grown as usize).min(kinds.max(1) - 1)) as u32
    }

    /// The kind for each of `t` queries, the first at position `first`, and each of `s` keys, `[t, s]`.
    pub(crate) fn kinds(&self, [first, t, s]: [usize; 3]) -> Vec<u32> {
        (0..t * s).map(|n| self.kind(first + n / s, n % s)).collect()
    }
}

/// What was looked up for every query and key, `[b·t·s, h]`, as biases `[b, h, t, s]`.
pub(crate) fn biases(values: Tensor<2>, [b, t, s]: [usize; 3]) -> Bias {
    let [_, heads] = values.dims();
    let values: Tensor<3> = values.reshape([b, t * s, heads]);
    Bias::Additive(values.swap_dims(1, 2).reshape([b, heads, t, s]))
}

#[cfg(test)]
mod tests {
    use super::Distances;

    #[test]
    fn near_distances_have_kinds_of_their_own_and_far_ones_share() {
        let both = Distances { kinds: 8, longest: 12, both_ways: true };
        assert_eq!([0, 1, 2, 4, 40].map(|back| both.kind(50, 50 - back)), [0, 1, 2, 2, 3]);
        assert_eq!([1, 2, 40].map(|on| both.kind(50, 50 + on)), [5, 6, 7]);
        let back = Distances { both_ways: false, ..both };
        assert_eq!([0, 3, 4, 11, 40].map(|far| back.kind(50, 50 - far)), [0, 3, 4, 7, 7]);
        assert_eq!(back.kind(50, 60), 0);
        let short = Distances { longest: 4, ..back };
        assert_eq!([3, 4, 5, 40].map(|far| short.kind(50, 50 - far)), [3, 4, 7, 7]);
    }
}
