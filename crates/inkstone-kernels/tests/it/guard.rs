//! No kernel touches memory beside its slices: each slice ends at a page that nobody may touch, so that the process would die.
#![allow(unsafe_code, reason = "pages are protected by the system")]

use half::bf16;
use inkstone_kernels::{
    AttentionGrads, AttentionSaved, AttentionShape, LinearCrossEntropy, LinearCrossEntropyGrads, LinearShape, Number,
    Precision, attention, attention_backward, linear, linear_cross_entropy, linear_grad_input, linear_grad_weight,
    rms_norm, rms_norm_backward, swiglu, swiglu_backward,
};

use crate::numbers;

const PAGE: usize = 4096;

/// Numbers that end where memory ends, or begin where it begins.
struct Guarded<N> {
    pages: *mut u8,
    bytes: usize,
    first: *mut N,
    length: usize,
}

#[derive(Clone, Copy)]
enum Edge {
    Begin,
    End,
}

impl<N: Number> Guarded<N> {
    fn new(values: &[f32], edge: Edge) -> Self {
        let inner = size_of::<N>() * values.len();
        let bytes = inner.next_multiple_of(PAGE).max(PAGE) + 2 * PAGE;
        // SAFETY: fresh anonymous memory, whose first and last page are then closed.
        let (pages, first) = unsafe {
            let open = libc::PROT_READ | libc::PROT_WRITE;
            let pages = libc::mmap(std::ptr::null_mut(), bytes, open, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
            assert_ne!(pages, libc::MAP_FAILED);
            let pages = pages.cast::<u8>();
            assert_eq!(libc::mprotect(pages.cast(), PAGE, libc::PROT_NONE), 0);
            assert_eq!(libc::mprotect(pages.add(bytes - PAGE).cast(), PAGE, libc::PROT_NONE), 0);
            let at = match edge {
                Edge::Begin => PAGE,
                Edge::End => bytes - PAGE - inner,
            };
            (pages, pages.add(at).cast::<N>())
        };
        let mut guarded = Self { pages, bytes, first, length: values.len() };
        guarded.get().iter_mut().zip(values).for_each(|(to, &from)| *to = N::from_f32(from));
        guarded
    }

    fn get(&mut self) -> &mut [N] {
        // SAFETY: the numbers lie between the closed pages, aligned to their size, and are borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.first, self.length) }
    }
}

impl<N> Drop for Guarded<N> {
    fn drop(&mut self) {
        // SAFETY: what `new` mapped.
        unsafe { libc::munmap(self.pages.cast(), self.bytes) };
    }
}

fn both_edges(run: impl Fn(Edge)) {
    run(Edge::Begin);
    run(Edge::End);
}

fn products<N: Number>([rows, inputs, outputs]: [usize; 3], precision: Precision, edge: Edge) {
    let shape = LinearShape { rows, inputs, outputs };
    let mut x = Guarded::<N>::new(&numbers(1, rows * inputs), edge);
    let mut w = Guarded::<f32>::new(&numbers(2, outputs * inputs), edge);
    let mut y = Guarded::<N>::new(&numbers(3, rows * outputs), edge);
    linear(y.get(), x.get(), w.get(), shape, precision);
    linear_grad_input(x.get(), y.get(), w.get(), shape, precision);
    linear_grad_weight(w.get(), y.get(), x.get(), shape, precision);
    let labels: Vec<i32> = (0..rows).map(|n| (n % outputs.max(1)) as i32 - i32::from(outputs == 0)).collect();
    let (mut dx, mut dw) =
        (Guarded::<N>::new(&numbers(4, rows * inputs), edge), Guarded::new(&numbers(5, w.length), edge));
    let given = LinearCrossEntropy { x: x.get(), w: w.get(), labels: &labels, shape, precision };
    let grads = LinearCrossEntropyGrads { scale: 1.0, dx: Some(dx.get()), dw: Some(dw.get()) };
    linear_cross_entropy(&mut vec![0.0; rows], grads, given);
}

#[test]
fn products_stay_inside() {
    for sizes in [[1, 1, 1], [5, 3, 7], [13, 33, 31], [48, 64, 96], [97, 130, 65], [50, 47, 1]] {
        for precision in [Precision::F32, Precision::Bf16] {
            both_edges(|edge| products::<f32>(sizes, precision, edge));
            both_edges(|edge| products::<bf16>(sizes, precision, edge));
        }
    }
}

fn attentions<N: Number>([length, heads, kv_heads, head_dim]: [usize; 4], edge: Edge) {
    let shape = AttentionShape {
        batch: 2,
        queries: length,
        keys: length,
        heads,
        kv_heads,
        head_dim,
        scale: 0.3,
        precision: Precision::Bf16,
    };
    let starts: Vec<u32> = (0..2 * length).map(|n| (n % length / 5 * 3) as u32).collect();
    let new = |seed, heads| Guarded::<N>::new(&numbers(seed, 2 * length * heads * head_dim), edge);
    let (mut q, mut k, mut v, mut out) = (new(1, heads), new(2, kv_heads), new(3, kv_heads), new(4, heads));
    let mut lse = Guarded::<f32>::new(&numbers(5, 2 * heads * length), edge);
    attention(out.get(), lse.get(), (q.get(), k.get(), v.get()), &starts, shape);
    let (mut dq, mut dk, mut dv, mut dout) = (new(6, heads), new(7, kv_heads), new(8, kv_heads), new(9, heads));
    let saved = AttentionSaved { q: q.get(), k: k.get(), v: v.get(), out: out.get(), lse: lse.get(), starts: &starts };
    let found = AttentionGrads { dq: dq.get(), dk: dk.get(), dv: dv.get() };
    attention_backward(found, dout.get(), saved, shape);
}

#[test]
fn attention_stays_inside() {
    for sizes in [[1, 1, 1, 1], [7, 2, 1, 5], [33, 3, 3, 16], [97, 4, 2, 24]] {
        both_edges(|edge| attentions::<f32>(sizes, edge));
        both_edges(|edge| attentions::<bf16>(sizes, edge));
    }
}

#[test]
fn loops_stay_inside() {
    for [rows, width] in [[1, 1], [3, 7], [65, 33], [2, 130]] {
        both_edges(|edge| {
            let n = rows * width;
            let new = |seed| Guarded::<bf16>::new(&numbers(seed, n), edge);
            let (mut a, mut b, mut c, mut d, mut e) = (new(1), new(2), new(3), new(4), new(5));
            swiglu(a.get(), b.get(), c.get());
            swiglu_backward((a.get(), b.get()), e.get(), (c.get(), d.get()));
            let (mut x, mut dx) =
                (Guarded::<f32>::new(&numbers(6, n), edge), Guarded::<f32>::new(&numbers(7, n), edge));
            let (mut weight, mut dweight) =
                (Guarded::<f32>::new(&numbers(8, width), edge), Guarded::<f32>::new(&numbers(9, width), edge));
            rms_norm(a.get(), x.get(), weight.get(), 1e-5);
            rms_norm_backward(dx.get(), dweight.get(), a.get(), x.get(), weight.get(), 1e-5);
        });
    }
}
