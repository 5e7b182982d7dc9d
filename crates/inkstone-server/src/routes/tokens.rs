//! `POST /tokenize`, `POST /detokenize`, `GET /tokenizer_info`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::json_response;
use crate::app::{App, object};
use crate::error::ApiError;
use crate::fields::Fields;

pub(crate) async fn tokenize(State(app): State<Arc<App>>, body: Body) -> Result<Response, ApiError> {
    let fields = object(&app.body(body).await?)?;
    let fields = Fields(&fields);
    let served = app.model(fields.text("model")?)?;
    let text = fields.text("prompt")?.ok_or_else(|| ApiError::field("prompt", "`prompt`: expected a string"))?;
    let mut tokens = served.tokenizer.encode(text)?;
    if fields.flag("add_special_tokens")?.unwrap_or(false) {
        tokens.splice(0..0, served.tokenizer.bos());
    }
    Ok(json_response(json!({
        "tokens": tokens, "count": tokens.len(), "max_model_len": served.model.context(),
    })))
}

pub(crate) async fn detokenize(State(app): State<Arc<App>>, body: Body) -> Result<Response, ApiError> {
    let fields = object(&app.body(body).await?)?;
    let fields = Fields(&fields);
    let served = app.model(fields.text("model")?)?;
    Ok(json_response(json!({ "prompt": served.tokenizer.decode(&fields.ids("tokens")?)? })))
}

pub(crate) async fn tokenizer_info(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let tokenizer = &app.model(None)?.tokenizer;
    let token = |id: Option<u32>| id.and_then(|id| tokenizer.token(id)).map_or(Value::Null, Value::from);
    Ok(json_response(json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "vocab_size": tokenizer.vocab_size(),
        "bos_token": token(tokenizer.bos()), "eos_token": token(tokenizer.eos()), "pad_token": token(tokenizer.pad()),
        "unk_token": token(tokenizer.unk()), "chat_template": tokenizer.chat_template(),
    })))
}
