//! Errors as clients of the OpenAI API expect them: a status and `{"error": {message, type, param, code}}`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use inkstone_engine::EngineError;
use inkstone_tokenizer::TokenizerError;
use serde_json::json;

/// Why the server does not start or goes down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Others could reach it without a key.
    #[error("{address} can be reached from outside, and no key is asked for")]
    Open {
        /// Where it was to listen.
        address: std::net::SocketAddr,
    },
    /// The address is taken, or not ours.
    #[error("listening on {address}: {source}")]
    Listen {
        /// Where it was to listen.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Certificate or key of TLS.
    #[error("{path}: {reason}", path = path.display())]
    Certificate {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file of keys.
    #[error("{path}: {reason}", path = path.display())]
    Keys {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The system gave no threads.
    #[error("starting: {0}")]
    Start(std::io::Error),
    /// A model could not be served.
    #[error("serving {name}: {source}")]
    Engine {
        /// The model's name.
        name: String,
        /// Why.
        source: EngineError,
    },
}

impl ServerError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Open { .. } => "give a file of keys with `--api-key FILE`, or listen on 127.0.0.1",
            Self::Listen { .. } => "another program may use the port; choose one with `--port`",
            Self::Certificate { .. } => "`--tls-cert` and `--tls-key` want PEM files",
            Self::Keys { .. } => "one key a line, of at least 16 characters; `#` begins a comment",
            Self::Start(_) | Self::Engine { .. } => return None,
        })
    }
}

/// An answer that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    kind: &'static str,
    message: String,
    param: Option<String>,
    code: Option<&'static str>,
    /// Seconds after which to try again.
    retry_after: Option<u64>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into(), param: None, code: None, retry_after: None }
    }

    /// What the client sent makes no sense.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// As [`bad`](Self::bad), about one field.
    pub(crate) fn field(param: &str, message: impl Into<String>) -> Self {
        Self { param: Some(param.to_owned()), ..Self::bad(message) }
    }

    /// A field that the API has and we do not.
    pub(crate) fn unsupported(param: &str) -> Self {
        Self { code: Some("unsupported_parameter"), ..Self::field(param, format!("`{param}` is not supported")) }
    }

    pub(crate) fn unauthorized() -> Self {
        let message = "a valid key is needed: `Authorization: Bearer KEY`";
        Self { code: Some("invalid_api_key"), ..Self::new(StatusCode::UNAUTHORIZED, "authentication_error", message) }
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", format!("there is no {what}"))
    }

    pub(crate) fn no_model(name: &str) -> Self {
        let message = format!("there is no model `{name}`; `GET /v1/models` lists them");
        let error = Self::new(StatusCode::NOT_FOUND, "invalid_request_error", message);
        Self { param: Some("model".into()), code: Some("model_not_found"), ..error }
    }

    pub(crate) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", "this address has other methods")
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("the request has more than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", message)
    }

    pub(crate) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "invalid_request_error", "the request did not arrive in time")
    }

    /// The client's own limit.
    pub(crate) fn limited(message: &str, retry_after: u64) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message);
        Self { code: Some("rate_limit_exceeded"), retry_after: Some(retry_after), ..error }
    }

    /// Our limit.
    pub(crate) fn busy(message: &str) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded_error", message);
        Self { code: Some("overloaded"), retry_after: Some(2), ..error }
    }

    /// Our fault.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }

    /// The body of the answer.
    pub(crate) fn json(&self) -> serde_json::Value {
        json!({ "error": { "message": self.message, "type": self.kind, "param": self.param, "code": self.code } })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.json())).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        match &error {
            EngineError::Busy { .. } => Self::busy("too many requests are waiting"),
            EngineError::Stopped => Self::busy("the server is stopping"),
            EngineError::PromptTooLong { .. } => {
                Self { code: Some("context_length_exceeded"), ..Self::bad(error.to_string()) }
            }
            _ => Self::bad(error.to_string()),
        }
    }
}

impl From<TokenizerError> for ApiError {
    fn from(error: TokenizerError) -> Self {
        match error {
            // Where the file lies is nobody's business.
            TokenizerError::Template { line, reason, .. } => {
                Self::field("messages", format!("the chat template refuses this conversation (line {line}): {reason}"))
            }
            error => Self::bad(error.to_string()),
        }
    }
}
