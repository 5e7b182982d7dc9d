//! What all routes share: the models, the keys, the limits, the counts.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use inkstone_engine::Limits;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::error::ApiError;
use crate::keys::Keys;
use crate::model::Served;

/// How the server behaves.
#[derive(Debug)]
pub struct Settings {
    /// Where to listen.
    pub address: std::net::SocketAddr,
    /// Who may ask.
    pub keys: Keys,
    /// Certificate and key of TLS, PEM files.
    pub tls: Option<(std::path::PathBuf, std::path::PathBuf)>,
    /// Origins whose pages may ask (`*`: all); none: only our own page.
    pub cors: Vec<String>,
    /// Bytes of a request.
    pub body_bytes: usize,
    /// Time for an answer.
    pub answer_time: Duration,
    /// Connections at a time.
    pub connections: usize,
    /// Time to finish answers when the server is stopped.
    pub grace: Duration,
    /// What each engine may use.
    pub engine: Limits,
}

/// Time for a request to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);

/// The state of a server.
pub(crate) struct App {
    pub(crate) settings: Settings,
    /// Set when the models are loaded.
    pub(crate) models: OnceLock<Vec<Served>>,
    pub(crate) stopping: AtomicBool,
    pub(crate) counts: Counts,
    /// Embeddings are computed one at a time, beside the engines.
    pub(crate) embedding: Semaphore,
    pub(crate) started: Instant,
}

/// What happened since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: AtomicU64,
    /// Answers with a status of 4xx and 5xx.
    pub(crate) refused: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) in_flight: AtomicU64,
    /// Sum and number of the times to the first piece of an answer, in microseconds.
    pub(crate) first_piece: (AtomicU64, AtomicU64),
    next_id: AtomicU64,
}

impl App {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            models: OnceLock::new(),
            stopping: AtomicBool::new(false),
            counts: Counts::default(),
            embedding: Semaphore::new(1),
            started: Instant::now(),
        }
    }

    /// The models, once they are loaded.
    pub(crate) fn models(&self) -> Result<&[Served], ApiError> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err(ApiError::busy("the server is stopping"));
        }
        self.models.get().map(Vec::as_slice).ok_or_else(|| ApiError::busy("the models are being loaded"))
    }

    /// The model that a request names; the first one where it names none.
    pub(crate) fn model(&self, name: Option<&str>) -> Result<&Served, ApiError> {
        let models = self.models()?;
        let found = match name {
            None | Some("") => models.first(),
            Some(name) => models.iter().find(|served| served.name == name),
        };
        found.ok_or_else(|| ApiError::no_model(name.unwrap_or_default()))
    }

    /// When an answer must be there.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.settings.answer_time
    }

    /// A name for an answer that no other one has had or will have.
    pub(crate) fn id(&self, prefix: &str) -> String {
        let n = self.counts.next_id.fetch_add(1, Ordering::Relaxed);
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let hash = blake3::hash(format!("{}:{n}", since.as_nanos()).as_bytes());
        format!("{prefix}{}", &hash.to_hex()[..24])
    }

    /// Notes how long the first piece of an answer took.
    pub(crate) fn note_first(&self, began: Instant) {
        self.counts.first_piece.0.fetch_add(began.elapsed().as_micros() as u64, Ordering::Relaxed);
        self.counts.first_piece.1.fetch_add(1, Ordering::Relaxed);
    }

    /// The whole body of a request.
    pub(crate) async fn body(&self, body: Body) -> Result<Bytes, ApiError> {
        let limit = self.settings.body_bytes;
        match tokio::time::timeout(ARRIVAL, to_bytes(body, limit)).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) if error.to_string().contains("length limit") => Err(ApiError::too_large(limit)),
            Ok(Err(_)) => Err(ApiError::bad("the request broke off")),
            Err(_) => Err(ApiError::too_slow()),
        }
    }
}

/// The fields of a request.
///
/// # Errors
/// If the bytes are no JSON object.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(ApiError::bad("the request is no JSON object")),
        Err(error) => Err(ApiError::bad(format!("the request is no JSON: {error}"))),
    }
}
