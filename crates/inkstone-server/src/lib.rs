//! OpenAI-compatible HTTP and a web page over the engine. Knows nothing of how a token is computed.
//!
//! A request goes through `guard` (keys, limits, counts) to one of `routes`, which reads its fields (`fields`: a field that
//! the API has and we do not is refused, never ignored), makes a prompt of ids (`chat`), and hands out pieces of text as the
//! engine's tokens come (`answering`). When a client goes away, what it asked for is dropped, and the engine forgets it.

mod answering;
mod app;
mod chat;
mod constraint;
mod error;
mod fields;
mod guard;
mod keys;
mod model;
mod page;
mod routes;
mod sampling;
mod server;
mod sse;
mod tools;

pub use app::Settings;
pub use error::ServerError;
pub use keys::{KeyLimits, Keys};
pub use model::Loaded;
pub use server::serve;
