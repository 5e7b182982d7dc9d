//! `POST /v1/embeddings`: the mean of the last layer over a text, of length 1.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::json_response;
use crate::app::{App, object};
use crate::error::ApiError;
use crate::fields::{Fields, ids};
use crate::model::Served;

/// Texts of one request.
const MOST_TEXTS: usize = 256;

pub(crate) async fn embeddings(State(app): State<Arc<App>>, body: Body) -> Result<Response, ApiError> {
    let fields = object(&app.body(body).await?)?;
    let fields = Fields(&fields);
    let served = app.model(fields.text("model")?)?;
    fields.refuse(&[("dimensions", &[Value::from(served.model.dimensions().width)])])?;
    let base64 = match fields.text("encoding_format")? {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(ApiError::field("encoding_format", "`encoding_format`: float or base64")),
    };
    let texts = inputs(fields.get("input"), served)?;
    let tokens: usize = texts.iter().map(Vec::len).sum();
    let mut data = Vec::new();
    for ids in texts {
        let permit = app.embedding.acquire().await;
        let model = Arc::clone(&served.model);
        let vector = tokio::task::spawn_blocking(move || unit(model.mean_hidden(&ids))).await;
        drop(permit);
        let vector = vector.map_err(|error| ApiError::internal(error.to_string()))?;
        let embedding = if base64 { encode(&vector).into() } else { json!(vector) };
        data.push(json!({ "object": "embedding", "index": data.len(), "embedding": embedding }));
    }
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    Ok(json_response(json!({ "object": "list", "data": data, "model": served.name, "usage": usage })))
}

/// A text, token ids, or a list of either.
fn inputs(value: Option<&Value>, served: &Served) -> Result<Vec<Vec<u32>>, ApiError> {
    let wrong = |message: String| ApiError::field("input", format!("`input`: {message}"));
    let (vocabulary, context) = (served.model.vocab_size(), served.model.context());
    let one = |value: &Value| {
        let tokens = match value {
            Value::String(text) => served.tokenizer.encode(text)?,
            value => ids(value).ok_or_else(|| wrong("a text, token ids, or a list of either".into()))?,
        };
        match tokens.iter().find(|&&id| id as usize >= vocabulary) {
            Some(id) => Err(wrong(format!("token id {id} is outside the vocabulary of {vocabulary}"))),
            None if tokens.is_empty() || tokens.len() > context => {
                Err(wrong(format!("{} tokens, expected 1 to {context}", tokens.len())))
            }
            None => Ok(tokens),
        }
    };
    match value {
        Some(Value::Array(all)) if all.is_empty() || all.len() > MOST_TEXTS && !all[0].is_number() => {
            Err(wrong(format!("expected 1 to {MOST_TEXTS} texts")))
        }
        Some(Value::Array(all)) if !all[0].is_number() => all.iter().map(one).collect(),
        Some(value) => Ok(vec![one(value)?]),
        None => Err(wrong("it is missing".into())),
    }
}

fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
    for x in &mut vector {
        *x = (f64::from(*x) / length) as f32;
    }
    vector
}

/// The numbers' bytes, least significant first, in Base64 (RFC 4648, section 4).
fn encode(vector: &[f32]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > three.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_is_that_of_the_specification() {
        assert_eq!(super::encode(&[1.0]), "AACAPw==");
        assert_eq!(super::encode(&[1.0, -2.5, 3.0]), "AACAPwAAIMAAAEBA");
    }
}
