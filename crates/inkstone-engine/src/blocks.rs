//! Memory of keys and values in blocks of a few positions, each with a count of holders (arXiv:2309.06180, section 4.2).

use half::bf16;
use inkstone_kernels::{BLOCK_POSITIONS, PagedBlock, Stored};

/// In which precision keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CachePrecision {
    /// As they are: the tokens are those of plain generation.
    #[default]
    F32,
    /// Half the memory.
    Bf16,
    /// A quarter of the memory: 8-bit numbers with a scale for each head and position.
    Int8,
}

/// What one position of one layer consists of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    pub(crate) layers: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) precision: CachePrecision,
}

impl Geometry {
    /// Keys, or values, of one block and layer.
    fn size(&self) -> usize {
        self.kv_heads * self.head_dim * BLOCK_POSITIONS
    }

    /// Scales of keys, or of values, of one block and layer.
    fn scales(&self) -> usize {
        self.kv_heads * BLOCK_POSITIONS
    }

    /// Bytes of a block.
    pub(crate) fn bytes(&self) -> usize {
        let numbers = 2 * self.layers * self.size();
        match self.precision {
            CachePrecision::F32 => 4 * numbers,
            CachePrecision::Bf16 => 2 * numbers,
            CachePrecision::Int8 => numbers + 8 * self.layers * self.scales(),
        }
    }
}

/// The number of a block.
pub(crate) type BlockId = u32;

/// `[layer][keys, values][…]`.
#[derive(Debug)]
enum Numbers {
    F32(Vec<f32>),
    Bf16(Vec<u16>),
    Int8(Vec<i8>, Vec<f32>),
}

impl Numbers {
    fn new(geometry: &Geometry) -> Self {
        let n = 2 * geometry.layers * geometry.size();
        match geometry.precision {
            CachePrecision::F32 => Self::F32(vec![0.0; n]),
            CachePrecision::Bf16 => Self::Bf16(vec![0; n]),
            CachePrecision::Int8 => Self::Int8(vec![0; n], vec![0.0; 2 * geometry.layers * geometry.scales()]),
        }
    }
}

/// All blocks.
#[derive(Debug)]
pub(crate) struct Pool {
    geometry: Geometry,
    blocks: Vec<Numbers>,
    holders: Vec<u32>,
    free: Vec<BlockId>,
    capacity: usize,
}

impl Pool {
    /// At most `capacity` blocks, made as they are needed.
    pub(crate) fn new(geometry: Geometry, capacity: usize) -> Self {
        Self { geometry, blocks: Vec::new(), holders: Vec::new(), free: Vec::new(), capacity }
    }

    /// A block with one holder; none when all are held.
    pub(crate) fn take(&mut self) -> Option<BlockId> {
        let id = match self.free.pop() {
            Some(id) => id,
            None if self.blocks.len() < self.capacity => {
                self.blocks.push(Numbers::new(&self.geometry));
                self.holders.push(0);
                self.blocks.len() as BlockId - 1
            }
            None => return None,
        };
        self.holders[id as usize] = 1;
        Some(id)
    }

    /// Another holder.
    pub(crate) fn hold(&mut self, id: BlockId) {
        self.holders[id as usize] += 1;
    }

    /// One holder less; without any the block is free.
    pub(crate) fn release(&mut self, id: BlockId) {
        let holders = &mut self.holders[id as usize];
        *holders -= 1;
        if *holders == 0 {
            self.free.push(id);
        }
    }

    pub(crate) fn holders(&self, id: BlockId) -> u32 {
        self.holders[id as usize]
    }

    /// Blocks that nobody holds.
    pub(crate) fn free(&self) -> usize {
        self.capacity - self.blocks.len() + self.free.len()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// One block and layer, to be read.
    pub(crate) fn view(&self, id: BlockId, layer: usize) -> PagedBlock<'_> {
        let (size, scales) = (self.geometry.size(), self.geometry.scales());
        let part = |which: usize| {
            let (at, scale_at) = ((2 * layer + which) * size, (2 * layer + which) * scales);
            match &self.blocks[id as usize] {
                Numbers::F32(numbers) => Stored::F32(&numbers[at..at + size]),
                Numbers::Bf16(numbers) => Stored::Bf16(&numbers[at..at + size]),
                Numbers::Int8(numbers, all) => Stored::Int8(&numbers[at..at + size], &all[scale_at..scale_at + scales]),
            }
        };
        PagedBlock { keys: part(0), values: part(1) }
    }

    /// Keeps key and value `[g, d]` of position `p` of a block.
    pub(crate) fn write(&mut self, (id, p): (BlockId, usize), layer: usize, (k, v): (&[f32], &[f32])) {
        let (d, size, scales) = (self.geometry.head_dim, self.geometry.size(), self.geometry.scales());
        let numbers = &mut self.blocks[id as usize];
        for (which, row) in [k, v].into_iter().enumerate() {
            for (head, values) in row.chunks_exact(d).enumerate() {
                let tile = (2 * layer + which) * size + head * d * BLOCK_POSITIONS;
                let scale = (2 * layer + which) * scales + head * BLOCK_POSITIONS + p;
                // Keys stand with the positions of one number side by side, values with the numbers of one position.
                let place = move |i: usize| tile + if which == 0 { i * BLOCK_POSITIONS + p } else { p * d + i };
                numbers.write(values, scale, place);
            }
        }
    }
}

impl Numbers {
    fn write(&mut self, values: &[f32], scale: usize, place: impl Fn(usize) -> usize) {
        let values = values.iter().enumerate();
        match self {
            Self::F32(numbers) => values.for_each(|(i, &x)| numbers[place(i)] = x),
            Self::Bf16(numbers) => values.for_each(|(i, &x)| numbers[place(i)] = bf16::from_f32(x).to_bits()),
            Self::Int8(numbers, scales) => {
                let largest = values.clone().fold(0.0_f32, |most, (_, x)| most.max(x.abs()));
                let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
                scales[scale] = largest / 127.0;
                values.for_each(|(i, &x)| numbers[place(i)] = (x * inverse).round() as i8);
            }
        }
    }
}
