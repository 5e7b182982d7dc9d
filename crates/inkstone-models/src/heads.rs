//! Heads for tasks, under the names that transformers gives them: `…ForSequenceClassification` (a label of a row, or a number),
//! `…ForMultipleChoice` (a score of a row), `…ForTokenClassification` (a label of each token), `…ForQuestionAnswering` (where an
//! answer begins and ends).
//!
//! Encoders judge a row by its first token (arXiv:1810.04805, section 4), decoders by its last one (Radford et al. 2018,
//! section 3.2).

#![allow(non_snake_case, reason = "Hugging Face's names")]

use burn::module::Module;
use burn::tensor::Tensor;
use inkstone_nn::{Projection, ops};
use serde_json::{Map, Value, json};

use crate::ModelError;
use crate::architecture::Kind;
use crate::bert::first_tokens;
use crate::builder::{Builder, Shape};
use crate::chatglm;
use crate::registry::{entry_of, find};

/// What a head is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskHead {
    /// A label of a row, or a number.
    Sequence,
    /// A score of a row among those of other choices.
    Choice,
    /// A label of each token.
    Token,
    /// Where an answer begins and ends.
    Span,
}

impl TaskHead {
    const ALL: [Self; 4] = [Self::Sequence, Self::Choice, Self::Token, Self::Span];

    /// The end of the class's name.
    fn suffix(self) -> &'static str {
        match self {
            Self::Sequence => "ForSequenceClassification",
            Self::Choice => "ForMultipleChoice",
            Self::Token => "ForTokenClassification",
            Self::Span => "ForQuestionAnswering",
        }
    }

    /// That of the class, where it has one.
    pub(crate) fn of(architectures: &[String]) -> Option<Self> {
        let class = architectures.first()?;
        Self::ALL.into_iter().find(|task| class.ends_with(task.suffix()))
    }

    /// Whether a model of this kind has such a head; a decoder scores a choice as it would label a row, with one label.
    pub fn fits(self, kind: Kind) -> bool {
        kind == Kind::Encoder || (kind == Kind::Decoder && matches!(self, Self::Sequence | Self::Choice))
    }
}

/// Whether the class is one for a task.
pub(crate) fn is_task(architectures: &[String]) -> bool {
    TaskHead::of(architectures).is_some()
}

/// Whether the class judges whole rows.
pub(crate) fn judges_rows(architectures: &[String]) -> bool {
    matches!(TaskHead::of(architectures), Some(TaskHead::Sequence | TaskHead::Choice))
}

/// The name of the class of `config` without what it is for.
pub(crate) fn stem(config: &Value) -> &'static str {
    let class = config["model_type"].as_str().and_then(find).map_or("", |(_, class)| class);
    let ends = ["ForCausalLM", "LMHeadModel", "ForMaskedLM", "ForPreTraining", "ForConditionalGeneration"];
    ends.iter().find_map(|end| class.strip_suffix(end)).unwrap_or(class)
}

/// `config` as that of a model for a task with these labels.
pub fn task_config(config: &Value, task: TaskHead, labels: &[String]) -> Value {
    let modern = chatglm::modern(config).ok().flatten();
    let mut config = modern.unwrap_or_else(|| config.clone());
    let is_decoder = entry_of(&config).is_ok_and(|entry| entry.kind == Kind::Decoder);
    let task = if is_decoder && task == TaskHead::Choice { TaskHead::Sequence } else { task };
    config["architectures"] = json!([format!("{}{}", stem(&config), task.suffix())]);
    let by_id: Map<String, Value> = labels.iter().enumerate().map(|(n, name)| (n.to_string(), json!(name))).collect();
    let by_name: Map<String, Value> = labels.iter().enumerate().map(|(n, name)| (name.clone(), json!(n))).collect();
    config["id2label"] = Value::Object(by_id);
    config["label2id"] = Value::Object(by_name);
    config
}

/// The labels of a `config.json`, in the order of their numbers; two without names where it has none.
pub fn labels_of(config: &Value) -> Vec<String> {
    let named = config["id2label"].as_object();
    let count = named.map_or(config["num_labels"].as_u64().unwrap_or(2) as usize, Map::len);
    let name = |n: usize| named?.get(&n.to_string())?.as_str().map(str::to_owned);
    (0..count.min(1 << 16)).map(|n| name(n).unwrap_or_else(|| format!("LABEL_{n}"))).collect()
}

/// `config` as that of the network below a head: a decoder that judges rows has no head for tokens of its own, as if that were the
/// embedding.
pub(crate) fn body(config: &Value, kind: Kind) -> Value {
    let mut body = config.clone();
    if kind == Kind::Decoder && outputs(config).is_some_and(|outputs| outputs > 1) {
        body["tie_word_embeddings"] = true.into();
    }
    body
}

/// What the class of `config` is for, where it has a head for a task.
fn task_of(config: &Value) -> Option<TaskHead> {
    let class: Vec<String> = config["architectures"][0].as_str().map(str::to_owned).into_iter().collect();
    TaskHead::of(&class)
}

/// Outputs of the head for a task.
fn outputs(config: &Value) -> Option<usize> {
    Some(match task_of(config)? {
        TaskHead::Choice => 1,
        TaskHead::Span => 2,
        TaskHead::Sequence | TaskHead::Token => labels_of(config).len(),
    })
}

/// `classifier` of an encoder that projects its first token by itself, or of its tokens.
#[derive(Module, Debug)]
pub(crate) struct Classifier {
    classifier: Projection,
}

/// `qa_outputs`.
#[derive(Module, Debug)]
pub(crate) struct Ends {
    qa_outputs: Projection,
}

/// `classifier` of RoBERTa.
#[derive(Module, Debug)]
pub(crate) struct Deep {
    dense: Projection,
    out_proj: Projection,
}

/// Its place among the names.
#[derive(Module, Debug)]
pub(crate) struct DeepClassifier {
    classifier: Deep,
}

/// `score` of a decoder.
#[derive(Module, Debug)]
pub(crate) struct Score {
    score: Projection,
}

/// The head of a task.
#[derive(Module, Debug)]
pub(crate) enum Head {
    /// Of a row whose first token the network projects.
    Row(Classifier),
    /// Of a row of RoBERTa.
    Deep(DeepClassifier),
    /// Of each token.
    Token(Classifier),
    /// Of the ends of an answer.
    Ends(Ends),
    /// Of a decoder's row.
    Score(Score),
}

impl Head {
    /// The head of the class that `config` names, where it has one for a task; a decoder with one label has a score, which is
    /// no such head.
    pub(crate) fn build(
        config: &Value,
        (kind, width): (Kind, usize),
        builder: &mut Builder<'_>,
    ) -> Result<Option<Self>, ModelError> {
        let (Some(task), Some(outputs)) = (task_of(config), outputs(config)) else { return Ok(None) };
        if kind == Kind::Decoder && outputs == 1 {
            return Ok(None);
        }
        let std = config["initializer_range"].as_f64().unwrap_or(0.02);
        let shape = Shape { inputs: width, outputs, bias: true, std };
        Ok(Some(match task {
            _ if kind == Kind::Decoder => {
                Self::Score(Score { score: builder.dense("score", Shape { bias: false, ..shape })? })
            }
            TaskHead::Sequence if config["model_type"] == "roberta" => {
                let mut at = builder.at("classifier");
                let dense = at.dense("dense", Shape { outputs: width, ..shape })?;
                Self::Deep(DeepClassifier { classifier: Deep { dense, out_proj: at.dense("out_proj", shape)? } })
            }
            TaskHead::Sequence | TaskHead::Choice => {
                Self::Row(Classifier { classifier: builder.dense("classifier", shape)? })
            }
            TaskHead::Token => Self::Token(Classifier { classifier: builder.dense("classifier", shape)? }),
            TaskHead::Span => Self::Ends(Ends { qa_outputs: builder.dense("qa_outputs", shape)? }),
        }))
    }

    /// Logits of each row, `[b, labels]`, or of each token, `[b·t, labels]`. `x[b·t, e]` is what the network makes of the rows,
    /// `pooled[b, e]` what it makes of their first tokens, `lengths[b]` their tokens.
    pub(crate) fn forward(&self, x_ne: Tensor<2>, pooled: Option<Tensor<2>>, lengths: &[u32]) -> Tensor<2> {
        let batch = lengths.len().max(1);
        match self {
            Self::Row(head) => head.classifier.forward(pooled.unwrap_or_else(|| first_tokens(&x_ne, batch))),
            Self::Deep(DeepClassifier { classifier: Deep { dense, out_proj } }) => {
                out_proj.forward(dense.forward(first_tokens(&x_ne, batch)).tanh())
            }
            Self::Token(head) => head.classifier.forward(x_ne),
            Self::Ends(head) => head.qa_outputs.forward(x_ne),
            Self::Score(head) => head.score.forward(last_tokens(x_ne, lengths)),
        }
    }
}

/// The last token of each row of `x[b·t, e]` that is no padding, `[b, e]`.
pub(crate) fn last_tokens(x_ne: Tensor<2>, lengths: &[u32]) -> Tensor<2> {
    let t = x_ne.dims()[0] / lengths.len().max(1);
    let last = lengths.iter().enumerate().map(|(row, &length)| (row * t) as u32 + length.max(1) - 1);
    ops::embedding(x_ne, last.collect())
}
