//! The page: a few static files inside the program.

use axum::extract::Path;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;

/// Nothing from elsewhere, no inline scripts, nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Name, kind, content.
const FILES: [(&str, &str, &str); 7] = [
    ("index.html", "text/html; charset=utf-8", include_str!("../web/index.html")),
    ("style.css", "text/css; charset=utf-8", include_str!("../web/style.css")),
    ("app.js", "text/javascript; charset=utf-8", include_str!("../web/app.js")),
    ("words.js", "text/javascript; charset=utf-8", include_str!("../web/words.js")),
    ("markdown.js", "text/javascript; charset=utf-8", include_str!("../web/markdown.js")),
    ("store.js", "text/javascript; charset=utf-8", include_str!("../web/store.js")),
    ("api.js", "text/javascript; charset=utf-8", include_str!("../web/api.js")),
];

pub(crate) async fn index() -> Result<Response, ApiError> {
    file("index.html")
}

pub(crate) async fn asset(Path(name): Path<String>) -> Result<Response, ApiError> {
    file(&name)
}

fn file(name: &str) -> Result<Response, ApiError> {
    let found = FILES.iter().find(|(own, ..)| *own == name);
    let (_, kind, content) = found.ok_or_else(|| ApiError::not_found("such file"))?;
    let headers = [
        (header::CONTENT_TYPE, *kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    Ok((headers, *content).into_response())
}
