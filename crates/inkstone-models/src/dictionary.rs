//! A dictionary as CPM-Bee reads it: `{"input": …, "<ans>": ""}`. Keys and values are the segments of a tree; what stands below
//! `<ans>` is to be said.
//!
//! Source: the formulas of the published code (github.com/OpenBMB/CPM-Bee): a segment is `<s> text </s>`; two segments are related
//! by the steps from the one up to the node that they share, and from there down to the other, of each at most seven.

use serde_json::Value;

use crate::model::likeliest;
use crate::pass::{NoObserver, Pass, Tree};
use crate::{Model, ModelError};

/// Steps that are told apart, up and down.
const MAX_STEPS: usize = 8;
/// Most segments of a dictionary: their relations are a square of this size.
const MAX_SEGMENTS: usize = 1024;
/// The key below which all is to be said.
const ANSWER: &str = "<ans>";

/// The ids of special tokens in a dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DictionaryMarks {
    /// `<root>`, the text of the outermost segment.
    pub root: u32,
    /// `<s>`.
    pub begin: u32,
    /// `</s>`.
    pub end: u32,
    /// `<ans>`.
    pub answer: u32,
}

/// Something that is to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blank {
    /// The keys that lead to it, `<ans>` the first.
    pub path: Vec<String>,
    /// Its segment.
    pub segment: u32,
    /// What the dictionary says there.
    pub text: String,
}

/// A dictionary as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dictionary {
    /// The tokens of all that is given.
    pub ids: Vec<u32>,
    /// The segment of each.
    pub segments: Vec<u32>,
    /// How any two of the m segments are related, `[m, m]`.
    pub relations: Vec<u32>,
    /// What is to be said, in its order.
    pub blanks: Vec<Blank>,
    marks: DictionaryMarks,
}

/// A node of the tree: a key, or the text at its end.
struct Segment {
    parent: usize,
    depth: usize,
}

/// A dictionary that is being read.
struct Reader<'a, E> {
    made: Dictionary,
    nodes: Vec<Segment>,
    path: Vec<String>,
    encode: &'a mut dyn FnMut(&str) -> Result<Vec<u32>, E>,
}

impl Dictionary {
    /// The tokens of `value`, an object whose values are texts or such objects; `encode` gives those of a text.
    ///
    /// # Errors
    /// If it is none, has too many parts or nothing to say, or `encode` fails.
    pub fn read<E: From<ModelError>>(
        value: &Value,
        marks: DictionaryMarks,
        encode: &mut dyn FnMut(&str) -> Result<Vec<u32>, E>,
    ) -> Result<Self, E> {
        let made = Self { ids: Vec::new(), segments: Vec::new(), relations: Vec::new(), blanks: Vec::new(), marks };
        let mut reader = Reader { made, nodes: vec![Segment { parent: 0, depth: 0 }], path: Vec::new(), encode };
        reader.say(0, &[marks.root]);
        if !value.is_object() {
            return Err(reader.refused("an object", value).into());
        }
        reader.children(value, 0)?;
        if reader.made.blanks.is_empty() {
            return Err(reader.refused("a key `<ans>` with a text, or with an object of texts", value).into());
        }
        reader.made.relations = relations(&reader.nodes);
        Ok(reader.made)
    }

    /// What `model` says at each blank, most probable token by token, at most `limit` of them; without the end of a text.
    pub fn fill(&self, model: &Model, limit: usize) -> Vec<Vec<u32>> {
        let mut cache = model.cache(self.ids.len() + self.blanks.len() * (limit + 1));
        let mut segments = self.segments.clone();
        let mut next = |ids: &[u32], segments: &[u32]| {
            let (numbers, mut observer) = (vec![0; ids.len()], NoObserver);
            let tree = Tree { numbers: &numbers, segments, relations: &self.relations };
            let mut pass = Pass { tree: Some(tree), cache: Some(&mut cache), ..Pass::new(&mut observer) };
            likeliest(model.forward(ids, 1, &mut pass)).last().map_or(self.marks.end, |&id| id as u32)
        };
        next(&self.ids, &segments);
        let mut fill = |blank: &Blank| {
            let (mut said, mut shown) = (Vec::new(), self.marks.begin);
            while said.len() < limit && segments.len() < model.context() {
                segments.push(blank.segment);
                shown = next(&[shown], &segments);
                if shown == self.marks.end {
                    break;
                }
                said.push(shown);
            }
            said
        };
        self.blanks.iter().map(&mut fill).collect()
    }
}

impl<E: From<ModelError>> Reader<'_, E> {
    fn children(&mut self, value: &Value, parent: usize) -> Result<(), E> {
        let Value::Object(entries) = value else {
            let Value::String(text) = value else { return Err(self.refused("a text or an object", value).into()) };
            return self.text(text, parent);
        };
        for (key, value) in entries {
            let segment = self.add(parent)?;
            let is_answer = parent == 0 && key == ANSWER;
            let ids = if is_answer { vec![self.made.marks.answer] } else { (self.encode)(key)? };
            self.say(segment, &ids);
            self.path.push(key.clone());
            self.children(value, segment)?;
            self.path.pop();
        }
        Ok(())
    }

    /// The end of a path: what is given, or is to be said.
    fn text(&mut self, text: &str, parent: usize) -> Result<(), E> {
        let segment = self.add(parent)?;
        if self.path.first().is_some_and(|key| key == ANSWER) {
            let (path, text) = (self.path.clone(), text.to_owned());
            self.made.blanks.push(Blank { path, segment: segment as u32, text });
            return Ok(());
        }
        let ids = (self.encode)(text)?;
        self.say(segment, &ids);
        Ok(())
    }

    fn add(&mut self, parent: usize) -> Result<usize, ModelError> {
        if self.nodes.len() == MAX_SEGMENTS {
            let got = format!("more than {MAX_SEGMENTS}");
            return Err(ModelError::Dictionary { path: self.path.join("."), expected: "fewer keys and values", got });
        }
        self.nodes.push(Segment { parent, depth: self.nodes[parent].depth + 1 });
        Ok(self.nodes.len() - 1)
    }

    fn say(&mut self, segment: usize, ids: &[u32]) {
        let Dictionary { marks: DictionaryMarks { begin, end, .. }, .. } = self.made;
        self.made.ids.extend([begin].iter().chain(ids).chain(&[end]));
        self.made.segments.resize(self.made.ids.len(), segment as u32);
    }

    fn refused(&self, expected: &'static str, got: &Value) -> ModelError {
        let mut got = got.to_string();
        got.truncate(got.floor_char_boundary(60));
        ModelError::Dictionary { path: self.path.join("."), expected, got }
    }
}

/// How each segment is related to each other one: 0 to itself, 1 is that of another example.
fn relations(nodes: &[Segment]) -> Vec<u32> {
    let (m, mut relations) = (nodes.len(), Vec::with_capacity(nodes.len() * nodes.len()));
    for query in 0..m {
        for key in 0..m {
            let shared = nodes[shared(nodes, query, key)].depth;
            let steps = |from: usize| (nodes[from].depth - shared).min(MAX_STEPS - 1);
            let related = steps(query) * MAX_STEPS + steps(key);
            relations.push(if related == 0 { 0 } else { related as u32 + 1 });
        }
    }
    relations
}

/// The lowest node above (or at) both.
fn shared(nodes: &[Segment], mut a: usize, mut b: usize) -> usize {
    while a != b {
        // A node comes behind its parent.
        if a > b { a = nodes[a].parent } else { b = nodes[b].parent }
    }
    a
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Dictionary, DictionaryMarks};
    use crate::ModelError;

    const MARKS: DictionaryMarks = DictionaryMarks { root: 1, begin: 2, end: 3, answer: 4 };

    fn read(value: &serde_json::Value) -> Result<Dictionary, ModelError> {
        Dictionary::read(value, MARKS, &mut |text| Ok(text.bytes().map(u32::from).collect()))
    }

    #[test]
    fn keys_and_values_are_segments_and_what_stands_below_ans_is_to_be_said() {
        let made = read(&json!({"in": "x", "<ans>": {"a": "", "b": "?"}})).expect("a dictionary");
        let [i, n, x, a, b] = *b"inxab";
        let expected = [[2, 1, 3].to_vec(), vec![2, i.into(), n.into(), 3], vec![2, x.into(), 3], vec![2, 4, 3]];
        let rest = [vec![2, a.into(), 3], vec![2, b.into(), 3]];
        assert_eq!(made.ids, [expected.concat(), rest.concat()].concat());
        assert_eq!(
            made.segments,
            [[0].repeat(3), [1].repeat(4), [2].repeat(3), [3].repeat(3), [4].repeat(3), [6].repeat(3)].concat()
        );
        let blanks: Vec<_> =
            made.blanks.iter().map(|blank| (blank.path.join("."), blank.segment, &*blank.text)).collect();
        assert_eq!(blanks, [("<ans>.a".to_owned(), 5, ""), ("<ans>.b".to_owned(), 7, "?")]);
    }

    #[test]
    fn relations_are_steps_up_and_down() {
        let made = read(&json!({"in": "x", "<ans>": ""})).expect("a dictionary");
        // 0 root, 1 `in`, 2 `x`, 3 `<ans>`, 4 what is to be said.
        let of = |query: usize, key: usize| made.relations[query * 5 + key];
        assert_eq!([of(2, 2), of(2, 1), of(1, 2)], [0, 8 + 1, 1 + 1]);
        assert_eq!([of(4, 2), of(4, 0), of(0, 3)], [2 * 8 + 2 + 1, 2 * 8 + 1, 1 + 1]);
    }

    #[test]
    fn what_is_no_dictionary_is_refused() {
        for (value, part) in [
            (json!("text"), "an object"),
            (json!({"a": 1, "<ans>": ""}), "at `a`: expected a text or an object, got 1"),
            (json!({"a": "b"}), "`<ans>`"),
        ] {
            let error = read(&value).expect_err("no dictionary").to_string();
            assert!(error.contains(part), "{error}");
        }
        let keys = (0..2000).map(|n| (n.to_string(), json!(""))).collect::<serde_json::Map<_, _>>();
        assert!(read(&keys.into()).expect_err("too many keys").to_string().contains("fewer keys"));
    }
}
