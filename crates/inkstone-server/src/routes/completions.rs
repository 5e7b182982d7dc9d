//! `POST /v1/completions`: going on from texts or from token ids, with `echo` and log-probabilities.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use inkstone_engine::Scored;
use inkstone_tokenizer::Tokenizer;
use serde_json::{Map, Value, json};

use super::chat::{MOST_ANSWERS, fingerprint, word};
use super::{Started, finite, json_response, note_once, patiently, stream};
use crate::answering::{Ask, End, Finish, Piece, Usage, answer};
use crate::app::{App, object};
use crate::error::ApiError;
use crate::fields::{Fields, ids};
use crate::model::{Served, now};
use crate::sampling::{sampling, shape};
use crate::sse::Gone;

/// Prompts of one request.
const MOST_PROMPTS: usize = 256;
/// Alternatives to a token.
const MOST_ALTERNATIVES: u64 = 20;
/// Tokens of an answer where a request does not say.
const USUAL_TOKENS: usize = 16;

/// A request that was understood; the prompts are in `asks`.
struct Asked {
    asks: Vec<Ask>,
    echo: bool,
    /// Answers of which only the likeliest are given back.
    best_of: usize,
}

/// One answer.
#[derive(Debug, Default, Clone)]
struct Completed {
    text: String,
    prompt: Vec<Scored>,
    tokens: Vec<Scored>,
    finish: Option<Finish>,
}

pub(crate) async fn completions(State(app): State<Arc<App>>, body: Body) -> Result<Response, ApiError> {
    let fields = object(&app.body(body).await?)?;
    let fields = Fields(&fields);
    let served = app.model(fields.text("model")?)?;
    let asked = read(&fields, &app, served)?;
    if fields.flag("stream")?.unwrap_or(false) {
        return streamed(&fields, app.clone(), served, asked).await;
    }
    let began = Instant::now();
    let (mut choices, mut usage) = (Vec::new(), Usage::default());
    for ask in asked.asks {
        let (n, prompt) = (ask.n, ask.prompt.clone());
        let wants_scores = ask.logprobs.is_some() && fields.get("logprobs").is_some();
        let (mut all, used) = completed(served, Ask { n: n.max(asked.best_of), ..ask }).await?;
        usage = Usage {
            prompt: usage.prompt + used.prompt,
            cached: usage.cached + used.cached,
            completion: usage.completion + used.completion,
        };
        if asked.best_of > n {
            all.sort_by(|a, b| likelihood(b).total_cmp(&likelihood(a)));
            all.truncate(n);
        }
        for one in all {
            choices.push(choice(served, choices.len(), (one, &prompt), (asked.echo, wants_scores))?);
        }
    }
    app.note_first(began);
    Ok(json_response(json!({
        "id": app.id("cmpl-"), "object": "text_completion", "created": now(), "model": served.name,
        "choices": choices, "usage": usage.json(), "system_fingerprint": fingerprint(),
    })))
}

fn read(fields: &Fields<'_>, app: &App, served: &Served) -> Result<Asked, ApiError> {
    fields.refuse(&[("suffix", &[Value::String(String::new())]), ("use_beam_search", &[Value::Bool(false)])])?;
    let prompts = prompts(fields.get("prompt"), served)?;
    let echo = fields.flag("echo")?.unwrap_or(false);
    let logprobs = fields.count("logprobs", (0, MOST_ALTERNATIVES))?;
    let n = fields.count("n", (1, MOST_ANSWERS))?.unwrap_or(1);
    let best_of = fields.count("best_of", (1, MOST_ANSWERS))?.unwrap_or(n);
    if best_of < n {
        return Err(ApiError::field("best_of", "`best_of` is less than `n`"));
    }
    let wanted = fields.count("max_tokens", (0, 1 << 24))?.unwrap_or(USUAL_TOKENS);
    let (stop, shape) = (fields.texts("stop", 16)?, shape(fields)?);
    let one = |prompt: Vec<u32>| {
        let room = served.model.context().saturating_sub(prompt.len());
        Ok(Ask {
            sampling: sampling(fields, served, wanted.min(room))?,
            n,
            stop: stop.clone(),
            logprobs: logprobs.or((best_of > n).then_some(0)),
            prompt_logprobs: logprobs.filter(|_| echo),
            shape: shape.clone(),
            priority: 0,
            deadline: Some(app.deadline()),
            prompt,
        })
    };
    let asks = prompts.into_iter().map(one).collect::<Result<_, ApiError>>()?;
    Ok(Asked { asks, echo, best_of })
}

/// A text, token ids, or a list of either.
fn prompts(value: Option<&Value>, served: &Served) -> Result<Vec<Vec<u32>>, ApiError> {
    let wrong = || ApiError::field("prompt", "`prompt`: a text, token ids, or a list of either");
    let bos = || served.tokenizer.bos().or(served.tokenizer.eos()).into_iter().collect::<Vec<_>>();
    let one = |value: &Value| match value {
        Value::String(text) if text.is_empty() => Ok(bos()),
        Value::String(text) => Ok(served.tokenizer.encode(text)?),
        value => ids(value).ok_or_else(wrong),
    };
    match value {
        None => Ok(vec![bos()]),
        Some(Value::Array(all)) if all.is_empty() || all.len() > MOST_PROMPTS && !all[0].is_number() => Err(wrong()),
        Some(Value::Array(all)) if !all[0].is_number() => all.iter().map(one).collect(),
        Some(value) => Ok(vec![one(value)?]),
    }
}

async fn completed(served: &Served, ask: Ask) -> Result<(Vec<Completed>, Usage), ApiError> {
    let (mut all, mut usage) = (vec![Completed::default(); ask.n], Usage::default());
    let mut answers = answer(served, ask).await?;
    while let Some((index, piece)) = answers.next().await {
        let one = &mut all[index];
        match piece {
            Piece::Prompt(scores) => one.prompt = scores,
            Piece::Text(text, tokens) => {
                one.text.push_str(&text);
                one.tokens.extend(tokens);
            }
            Piece::End(End { reason: Finish::Failed(reason), .. }) => return Err(ApiError::internal(reason)),
            Piece::End(end) => {
                usage.add(end.usage);
                one.finish = Some(end.reason);
            }
        }
    }
    Ok((all, usage))
}

/// The mean log-probability of an answer's tokens.
fn likelihood(one: &Completed) -> f32 {
    let sum: f32 = one.tokens.iter().filter_map(|token| token.logprob).sum();
    sum / one.tokens.len().max(1) as f32
}

fn choice(
    served: &Served,
    index: usize,
    (one, prompt): (Completed, &[u32]),
    (echo, scores): (bool, bool),
) -> Result<Value, ApiError> {
    let before = if echo { served.tokenizer.decode(prompt)? } else { String::new() };
    let logprobs = if scores {
        let all: Vec<&Scored> = one.prompt.iter().chain(&one.tokens).collect();
        logprobs(&served.tokenizer, &all, 0)
    } else {
        Value::Null
    };
    let finish_reason = word(one.finish.as_ref(), false);
    Ok(json!({
        "index": index, "text": before + &one.text, "logprobs": logprobs, "finish_reason": finish_reason,
    }))
}

/// Four lists of the same length, as the older API has them.
fn logprobs(tokenizer: &Tokenizer, tokens: &[&Scored], mut offset: usize) -> Value {
    let text = |id: u32| String::from_utf8_lossy(&tokenizer.token_bytes(id).unwrap_or_default()).into_owned();
    let (mut texts, mut numbers, mut top, mut offsets) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for token in tokens {
        let own = text(token.id);
        offsets.push(offset);
        offset += own.chars().count();
        numbers.push(token.logprob.map(finite));
        let mut likely: Map<String, Value> = Map::new();
        // Two tokens may look alike; the likelier one counts.
        for &(id, logprob) in &token.top {
            likely.entry(text(id)).or_insert_with(|| finite(logprob).into());
        }
        if let Some(logprob) = token.logprob {
            likely.entry(own.clone()).or_insert_with(|| finite(logprob).into());
        }
        top.push(token.logprob.map(|_| likely));
        texts.push(own);
    }
    json!({ "tokens": texts, "token_logprobs": numbers, "top_logprobs": top, "text_offset": offsets })
}

async fn streamed(fields: &Fields<'_>, app: Arc<App>, served: &Served, asked: Asked) -> Result<Response, ApiError> {
    let [ask] =
        <[Ask; 1]>::try_from(asked.asks).map_err(|_| ApiError::field("prompt", "one prompt can be streamed"))?;
    if asked.echo || asked.best_of > ask.n {
        return Err(ApiError::field("stream", "`stream` goes with neither `echo` nor `best_of`"));
    }
    let usage = fields.get("stream_options").is_some_and(|options| options.get("include_usage") == Some(&true.into()));
    let model = served.name.clone();
    stream(app, model, ask, move |app, model, ask, started| async move {
        // A reader that is gone is nothing to report.
        let _ = write(&app, &model, ask, usage, started).await;
    })
    .await
}

async fn write(app: &App, model: &str, ask: Ask, include_usage: bool, started: Started) -> Result<(), Gone> {
    let (id, created, scores, began) = (app.id("cmpl-"), now(), ask.logprobs.is_some(), Instant::now());
    let Some((mut answers, events)) = started.begin(app, model, ask).await else { return Ok(()) };
    let tokenizer = &app.model(Some(model)).map_err(|_| Gone)?.tokenizer;
    let chunk = |choices: Value| json!({ "id": id, "object": "text_completion", "created": created, "model": model, "choices": choices });
    let (mut usage, mut offset, mut first) = (Usage::default(), 0, true);
    while let Some((index, piece)) = patiently(&events, answers.next()).await? {
        note_once(app, &mut first, began);
        let (text, scores, finish) = match piece {
            Piece::Prompt(_) => continue,
            Piece::Text(text, tokens) => {
                let all: Vec<&Scored> = tokens.iter().collect();
                let scores = if scores { logprobs(tokenizer, &all, offset) } else { Value::Null };
                offset += text.chars().count();
                (text, scores, Value::Null)
            }
            Piece::End(End { reason: Finish::Failed(reason), .. }) => {
                events.data(&ApiError::internal(reason).json()).await?;
                continue;
            }
            Piece::End(end) => {
                usage.add(end.usage);
                (String::new(), Value::Null, word(Some(&end.reason), false).into())
            }
        };
        let choice = json!([{ "index": index, "text": text, "logprobs": scores, "finish_reason": finish }]);
        events.data(&chunk(choice)).await?;
    }
    if include_usage {
        let mut last = chunk(json!([]));
        last["usage"] = usage.json();
        events.data(&last).await?;
    }
    events.done().await
}
