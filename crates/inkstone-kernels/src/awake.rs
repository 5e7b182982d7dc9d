//! Threads that stay awake.
//!
//! A pass over one token is many short products with a little to do between them. A thread that finds nothing to do goes to sleep within
//! microseconds, and waking it takes longer than its share of the next product.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Threads that some call keeps awake, or that have not noticed yet that it is over. One call at a time: of two, each could wait for the other; and
/// a thread that is busy elsewhere for long finds one call waiting for it, not thousands.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// Does `work` on a thread of the pool, whose other threads look for shares of it until it is done. It does not wait for them: a thread that comes
/// too late finds that it is over.
pub fn awake<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| {
        let _over = keep_awake();
        work()
    })
}

/// Wakes the other threads of the pool, unless another call did; they stay awake until the result is dropped.
fn keep_awake() -> Option<Over> {
    let threads = rayon::current_num_threads();
    KEPT.compare_exchange(0, threads, Ordering::Acquire, Ordering::Relaxed).ok()?;
    let (over, own) = (Arc::new(AtomicBool::new(false)), rayon::current_thread_index());
    let seen = Arc::clone(&over);
    rayon::spawn_broadcast(move |context| {
        while Some(context.index()) != own && !seen.load(Ordering::Acquire) {
            if rayon::yield_now() != Some(rayon::Yield::Executed) {
                std::hint::spin_loop();
            }
        }
        KEPT.fetch_sub(1, Ordering::Release);
    });
    Some(Over(over))
}

/// Lets the other threads go, also when the work panics.
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::awake;

    #[test]
    fn work_is_done_beside_and_inside_other_work() {
        let sum = |n: u64| awake(move || (0..n).into_par_iter().map(|x| awake(move || x * x)).sum::<u64>());
        let sums: Vec<u64> = (0..64).into_par_iter().map(&sum).collect();
        assert_eq!(sums[63], (0..63).map(|x| x * x).sum());
        assert!(std::panic::catch_unwind(|| awake(|| -> u64 { panic!("inside") })).is_err());
        assert_eq!(sum(3), 5);
    }
}
