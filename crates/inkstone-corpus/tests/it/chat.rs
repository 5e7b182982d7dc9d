//! Chat data of every known form.

use inkstone_corpus::Split;
use inkstone_corpus::chat::{Message, Role, parse_record};
use serde_json::{Value, json};

use crate::support::{Desk, message};

fn turns(value: &Value) -> Vec<(Role, String)> {
    parse_record(value).unwrap().into_iter().map(|Message { role, content }| (role, content)).collect()
}

#[test]
fn every_form_gives_the_same_turns() {
    let records = [
        json!({ "messages": [
            { "role": "system", "content": "Be brief." }, { "role": "user", "content": "Hi" },
            { "role": "assistant", "content": [{ "type": "text", "text": "Hello" }] } ] }),
        json!({ "messages": [
            { "role": "developer", "content": "Be brief." }, { "role": "user", "content": "Hi" },
            { "role": "assistant", "content": "Hello" }, { "role": "user", "content": "Unanswered" } ] }),
        json!({ "system": "Be brief.", "conversations": [
            { "from": "human", "value": "Hi" }, { "from": "gpt", "value": "Hello" } ] }),
        json!({ "system": "Be brief.", "instruction": "Hi", "input": "", "output": "Hello" }),
        json!({ "system": "Be brief.", "prompt": "Hi", "completion": "Hello" }),
        json!({ "system": "Be brief.", "question": "Hi", "answer": "Hello" }),
        json!({ "prompt": [{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "Hi" }],
            "completion": [{ "role": "assistant", "content": "Hello" }] }),
    ];
    let expected = [(Role::System, "Be brief."), (Role::User, "Hi"), (Role::Assistant, "Hello")];
    for record in records {
        assert_eq!(turns(&record), expected.map(|(role, text)| (role, text.to_owned())), "{record}");
    }
}

#[test]
fn alpaca_with_input_and_history() {
    let record =
        json!({ "instruction": "Add", "input": "1 2", "output": "3", "history": [["Hi", "Hello"]], "system": "" });
    let expected = [(Role::User, "Hi"), (Role::Assistant, "Hello"), (Role::User, "Add\n1 2"), (Role::Assistant, "3")];
    assert_eq!(turns(&record), expected.map(|(role, text)| (role, text.to_owned())));
}

#[test]
fn tools_speak_between() {
    let record = json!({ "messages": [
        { "role": "user", "content": "Rain?" },
        { "role": "assistant", "content": null, "tool_calls": [{ "function": { "name": "weather" } }] },
        { "role": "tool", "content": "no" }, { "role": "assistant", "content": "No." } ] });
    let found = turns(&record);
    assert_eq!(found[1], (Role::Assistant, r#"[{"function":{"name":"weather"}}]"#.to_owned()));
    assert_eq!(found[2].0, Role::Tool);
}

#[test]
fn what_can_not_be_learnt_says_why() {
    let messages = |turns: &[(&str, &str)]| {
        let list: Vec<_> = turns.iter().map(|(role, content)| json!({ "role": role, "content": content })).collect();
        json!({ "messages": list })
    };
    let cases = [
        (messages(&[("user", "Hi")]), "no turn of the assistant"),
        (messages(&[]), "no turn of the assistant"),
        (messages(&[("user", " "), ("assistant", "Hello")]), "turn 1: the User says nothing"),
        (messages(&[("user", "Hi"), ("assistant", "")]), "turn 2: the Assistant says nothing"),
        (messages(&[("assistant", "Hello")]), "turn 1: Assistant can't speak first"),
        (messages(&[("user", "a"), ("user", "b"), ("assistant", "c")]), "turn 2: User can't speak after User"),
        (messages(&[("user", "a"), ("system", "b"), ("assistant", "c")]), "turn 2: System can't speak after User"),
        (messages(&[("user", "a"), ("wizard", "b")]), "turn 2: unknown role `wizard`"),
        (json!({ "messages": "Hi" }), "`messages` is not a list of turns but a string"),
        (json!({ "instruction": "Hi", "output": 3 }), "`output` is not a string but a number"),
        (
            json!({ "instruction": "Hi", "chosen": "a" }),
            "no known form of chat data (the record has `instruction`, `chosen`)",
        ),
        (json!(["Hi"]), "`record` is not an object but an array"),
    ];
    for (record, expected) in cases {
        let said = parse_record(&record).unwrap_err().to_string();
        assert!(said.contains(expected), "{record}: {said}");
    }
}

#[test]
fn the_stage_splits_deduplicates_and_reports() {
    let mut lines: Vec<_> = (0..100)
        .map(|n| json!({ "prompt": format!("{n}+1?"), "completion": (n + 1).to_string() }).to_string())
        .collect();
    lines.insert(3, json!({ "prompt": "only asked" }).to_string());
    lines.push(lines[0].clone());
    let desk = Desk::with(&[("a.jsonl", lines.join("\n").as_bytes())]);
    let metrics = desk.chat(&["a.jsonl"], json!({ "validation": 0.1, "split": "tail" })).unwrap();
    assert_eq!((metrics["conversations"].as_u64(), metrics["duplicates"].as_u64()), (Some(100), Some(1)));
    assert_eq!(
        (metrics["train_conversations"].as_u64(), metrics["validation_conversations"].as_u64()),
        (Some(90), Some(10))
    );
    let validation = desk.conversations(Split::Validation);
    assert_eq!(validation[9].messages[1], Message { role: Role::Assistant, content: "100".to_owned() });
    assert_eq!((&validation[9].meta["source"], &validation[9].meta["line"]), (&json!("a.jsonl"), &json!(101)));
    assert_eq!(desk.report()["bad_records"][0]["line"], 4);
}

#[test]
fn files_are_mixed_by_weight_in_the_training_split_alone() {
    let lines = |word: &str| -> String {
        (0..200).map(|n| json!({"prompt": format!("{word} {n}"), "completion": "x"}).to_string() + "\n").collect()
    };
    let (often, seldom) = (lines("often"), lines("seldom"));
    let desk = Desk::with(&[("a/often.jsonl", often.as_bytes()), ("seldom.jsonl", seldom.as_bytes())]);
    let weights = json!({"often*": 2.5, "seldom.jsonl": 0.25});
    let run = |weights: Value| desk.chat(&["a", "seldom.jsonl"], json!({"weights": weights, "validation": 0.1}));
    let metrics = run(weights.clone()).unwrap();
    let count = |split, word: &str| {
        desk.conversations(split).iter().filter(|one| one.messages[0].content.starts_with(word)).count()
    };
    let (twice, rarely) = (count(Split::Train, "often"), count(Split::Train, "seldom"));
    assert!((400..500).contains(&twice) && (25..70).contains(&rarely), "{twice} {rarely}");
    assert_eq!(metrics["train_conversations"], json!(twice + rarely));
    let held_out = count(Split::Validation, "often") + count(Split::Validation, "seldom");
    assert!((15..70).contains(&held_out), "{held_out} of 400");
    let mut ids: Vec<_> = desk.conversations(Split::Train).into_iter().map(|one| one.id).collect();
    ids.sort();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "two conversations have one name");
    let first = desk.bytes("train.jsonl.zst");
    run(weights).unwrap();
    assert_eq!(desk.bytes("train.jsonl.zst"), first);
    assert!(message(run(json!({"nobody*": 1.0}))).contains("nobody"));
}

#[test]
fn what_evaluations_ask_is_left_out() {
    let mut desk = Desk::with(&[
        ("a.jsonl", b"{\"prompt\": \"Where does Ann live?\", \"completion\": \"There.\"}\n{\"prompt\": \"Why?\", \"completion\": \"So.\"}\n{\"prompt\": \"Who bakes?\", \"completion\": \"Bea.\"}"),
        ("tests.json", b"[{\"question\": \"where does ann live\", \"n\": 3}]"),
        ("town/judged.validation.en.jsonl", b"{\"id\":\"1\",\"question\":\"Who bakes?\",\"answer\":\"Bea\",\"duty\":\"helpful\",\"lang\":\"en\"}\n"),
    ]);
    let metrics = desk.chat(&["a.jsonl"], json!({"apart_from_paths": ["tests.json"], "validation": 0.0})).unwrap();
    assert_eq!((metrics["conversations"].as_u64(), metrics["overlapping"].as_u64()), (Some(2), Some(1)));
    desk.give_world("town");
    let town = desk.inputs["from"].clone();
    desk.inputs = [("apart_from".to_owned(), town)].into();
    let both = json!({"apart_from": "town", "apart_from_paths": ["tests.json"], "validation": 0.0});
    let metrics = desk.chat(&["a.jsonl"], both).unwrap();
    assert_eq!((metrics["conversations"].as_u64(), metrics["overlapping"].as_u64()), (Some(1), Some(2)));
    assert_eq!(desk.conversations(Split::Train)[0].messages[0].content, "Why?");
    assert_eq!(desk.report()["overlapping"], 2);
}

#[test]
fn rationales_and_code_are_read() {
    let lines = [
        json!({"question": "2 + 3 * 4?", "rationale": " 3 * 4 is 12. ", "answer": "14"}),
        json!({"question": "Half of 8?", "answer": "8 / 2 = 4\n#### 4"}),
        json!({"instruction": "Add.", "code": "def add(a, b): return a + b"}),
    ];
    let text: String = lines.iter().map(|line| line.to_string() + "\n").collect();
    let desk = Desk::with(&[("a.jsonl", text.as_bytes())]);
    desk.chat(&["a.jsonl"], json!({"validation": 0.0})).unwrap();
    let read = desk.conversations(Split::Train);
    let said: Vec<&str> = read.iter().map(|one| one.messages[1].content.as_str()).collect();
    assert_eq!(said, ["3 * 4 is 12.\n14", "8 / 2 = 4\n#### 4", "def add(a, b): return a + b"]);
    let bytes =
        |n: usize| read[n].meta.get("rationale_bytes").and_then(Value::as_u64).map(|at| &said[n][at as usize..]);
    assert_eq!([bytes(0), bytes(1), bytes(2)], [Some("14"), Some("#### 4"), None]);
}
