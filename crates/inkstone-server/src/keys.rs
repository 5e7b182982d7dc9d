//! Who may ask, and how often. Keys are kept as hashes and compared in constant time.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::http::{HeaderMap, header};
use subtle::ConstantTimeEq;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{ApiError, ServerError};

/// Shorter keys are guessed.
const SHORTEST: usize = 16;

/// What one key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyLimits {
    /// Requests a minute; none: as many as there is room for.
    pub per_minute: Option<u32>,
    /// Requests at a time.
    pub concurrent: usize,
}

/// The keys of a server; without any, everybody may ask, and shares one limit.
#[derive(Debug)]
pub struct Keys {
    keys: Vec<Key>,
    anonymous: Key,
}

#[derive(Debug)]
struct Key {
    hash: [u8; 32],
    limits: KeyLimits,
    bucket: Mutex<Bucket>,
    concurrent: Arc<Semaphore>,
}

/// Requests that may still be made, refilled as time passes.
#[derive(Debug)]
struct Bucket {
    left: f64,
    filled: Instant,
}

impl Key {
    fn new(hash: [u8; 32], limits: KeyLimits) -> Self {
        let left = f64::from(limits.per_minute.unwrap_or(0));
        let bucket = Mutex::new(Bucket { left, filled: Instant::now() });
        Self { hash, limits, bucket, concurrent: Arc::new(Semaphore::new(limits.concurrent.max(1))) }
    }

    /// Counts a request, or says in how many seconds the next one may come.
    fn count(&self) -> Result<(), u64> {
        let Some(rate) = self.limits.per_minute.map(f64::from) else { return Ok(()) };
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let refilled = bucket.left + now.duration_since(bucket.filled).as_secs_f64() * rate / 60.0;
        (bucket.left, bucket.filled) = (refilled.min(rate), now);
        if bucket.left < 1.0 {
            return Err(((1.0 - bucket.left) * 60.0 / rate.max(1e-3)).ceil() as u64);
        }
        bucket.left -= 1.0;
        Ok(())
    }
}

impl Keys {
    /// Nobody needs a key.
    pub fn open(limits: KeyLimits) -> Self {
        Self { keys: Vec::new(), anonymous: Key::new([0; 32], limits) }
    }

    /// Reads a file with one key a line.
    ///
    /// # Errors
    /// If it cannot be read, has no key, or one that is too short; the key itself is not told.
    pub fn read(path: &Path, limits: KeyLimits) -> Result<Self, ServerError> {
        let wrong = |reason: String| ServerError::Keys { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let mut keys = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let key = line.split('#').next().unwrap_or_default().trim();
            match key.len() {
                0 => {}
                length if length < SHORTEST => {
                    return Err(wrong(format!("the key in line {} has fewer than {SHORTEST} characters", n + 1)));
                }
                _ => keys.push(Key::new(*blake3::hash(key.as_bytes()).as_bytes(), limits)),
            }
        }
        if keys.is_empty() {
            return Err(wrong("there is no key in it".into()));
        }
        Ok(Self { keys, anonymous: Key::new([0; 32], limits) })
    }

    /// Whether nobody needs a key.
    pub fn is_open(&self) -> bool {
        self.keys.is_empty()
    }

    /// Lets a request in; it is one of its key's concurrent ones as long as the permit lives.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Result<OwnedSemaphorePermit, ApiError> {
        let key =
            if self.is_open() { &self.anonymous } else { self.find(headers).ok_or_else(ApiError::unauthorized)? };
        key.count().map_err(|seconds| ApiError::limited("too many requests a minute", seconds))?;
        let permit = Arc::clone(&key.concurrent).try_acquire_owned();
        permit.map_err(|_| ApiError::limited("too many requests at a time", 1))
    }

    fn find(&self, headers: &HeaderMap) -> Option<&Key> {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let given = bearer.or_else(|| headers.get("x-api-key")?.to_str().ok())?;
        let hash = *blake3::hash(given.trim().as_bytes()).as_bytes();
        // All are compared, so that the time does not tell which one it was.
        let equal = |key: &&Key| bool::from(key.hash.ct_eq(&hash));
        self.keys.iter().filter(equal).last()
    }
}
