use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::parse_text;

fn render(old: &str, document: &Value) -> String {
    let text = render_text(Some(old), document, "r2");
    let parsed = parse_text(text.as_bytes()).unwrap();
    assert_eq!((&parsed.document, parsed.revision.as_deref()), (document, Some("r2")), "{text}");
    assert_eq!(render_text(Some(&text), document, "r2"), text);
    text
}

const OLD: &str = r#"// Our mesh.
{
    "$revision": "r1", // by the agent

    // ---- People ----

    // The old oak
    // in the garden.
    "oak": { "port": 1, 'name': "Oak" }, // big
    /* small */ elm: {
        // what it listens on
        "port": 0x2, // two
        "hooks": [ 1, 2 ] // some
        // the end of elm
    },
    "ash": 3 /* three */
    // nothing further
}
// The end."#;

fn old() -> Value {
    json!({ "oak": { "port": 1, "name": "Oak" }, "elm": { "port": 2, "hooks": [1, 2] }, "ash": 3 })
}

#[test]
fn what_says_the_same_stays_as_it_is() {
    let text = render(OLD, &old());
    assert_eq!(text, format!("{}\n", OLD.replace("r1", "r2")));
}

#[test]
fn a_value_that_differs_is_written_where_it_stands() {
    let mut document = old();
    document["oak"]["port"] = json!(7);
    document["elm"]["hooks"] = json!([1, { "a": 1 }]);
    document["ash"] = json!({ "b": {}, "a": "x" });
    let hooks = "\"hooks\": [\n            1,\n            {\n                \"a\": 1\n            }\n        ] // some";
    let expected = OLD
        .replace("r1", "r2")
        .replace("\"port\": 1", "\"port\": 7")
        .replace("\"hooks\": [ 1, 2 ] // some", hooks)
        .replace("\"ash\": 3", "\"ash\": {\n        \"a\": \"x\",\n        \"b\": {}\n    }");
    assert_eq!(render(OLD, &document), format!("{expected}\n"));
}

#[test]
fn a_new_member_follows_its_siblings() {
    let mut document = old();
    document["zoo"] = json!([1, 2]);
    document["box"] = json!({ "a": 1 });
    document["oak"]["x"] = json!({ "a": [1] });
    document["elm"]["at"] = json!(null);
    let expected = OLD
        .replace("r1", "r2")
        .replace("\"Oak\" }", "\"Oak\", \"x\": {\"a\":[1]} }")
        .replace("[ 1, 2 ] // some", "[ 1, 2 ], // some\n        \"at\": null")
        .replace(
            "3 /* three */",
            "3, /* three */\n    \"box\": {\n        \"a\": 1\n    },\n    \"zoo\": [1, 2]",
        );
    assert_eq!(render(OLD, &document), format!("{expected}\n"));
}

#[test]
fn a_member_that_is_gone_takes_its_comments_along() {
    let mut document = old();
    document.as_object_mut().unwrap().remove("oak");
    document.as_object_mut().unwrap().remove("ash");
    document["elm"].as_object_mut().unwrap().remove("hooks");
    let expected = OLD
        .replace("r1", "r2")
        .replace("\n\n    // The old oak\n    // in the garden.\n    \"oak\": { \"port\": 1, 'name': \"Oak\" }, // big", "")
        .replace("0x2, // two\n        \"hooks\": [ 1, 2 ] // some", "0x2 // two")
        .replace("    },\n    \"ash\": 3 /* three */", "    }");
    assert_eq!(render(OLD, &document), format!("{expected}\n"));
}

#[test]
fn the_revision_comes_first_wherever_it_was() {
    assert_eq!(render("{}", &json!({})), "{\n  \"$revision\": \"r2\"\n}\n");
    assert_eq!(render("{\"a\":1}", &json!({ "a": 1 })), "{\"$revision\": \"r2\",\"a\":1}\n");
    assert_eq!(
        render(
            "{ // mesh\n\t// a\n\t'a': 1,\n\t'$revision': 'r1', // here\n}\n",
            &json!({ "a": 1 })
        ),
        "{ // mesh\n\t\"$revision\": \"r2\",\n\t// a\n\t'a': 1,\n}\n"
    );
    let fresh =
        "{\n  \"$revision\": \"r2\",\n  \"a\": {\n    \"b\": []\n  },\n  \"c\": \"ä\\n\"\n}\n";
    assert_eq!(render_text(None, &json!({ "c": "ä\n", "a": { "b": [] } }), "r2"), fresh);
}

#[test]
fn the_ways_of_the_text_are_kept() {
    let old = "\u{feff}{\r\n\t\"a\": 1,\r\n\t\"b\": {}\r\n}";
    assert_eq!(
        render(old, &json!({ "a": 1, "b": { "c": 1 } })),
        "\u{feff}{\r\n\t\"$revision\": \"r2\",\r\n\t\"a\": 1,\r\n\t\"b\": {\r\n\t\t\"c\": 1\r\n\t}\r\n}\r\n"
    );
    // A comma at the end stays the user's way.
    assert_eq!(
        render("{\n \"$revision\": \"r2\",\n \"a\": 1, // a\n}\n", &json!({ "b": 1 })),
        "{\n \"$revision\": \"r2\",\n \"b\": 1,\n}\n"
    );
}

#[test]
fn an_object_that_loses_everything_keeps_what_is_nobodys() {
    let old = "{ \"$revision\": \"r2\", \"a\": { \"b\": 1 }, \"c\": {\n  // title\n\n  \"d\": 1 // d\n} }\n";
    assert_eq!(
        render(old, &json!({ "a": {}, "c": {} })),
        "{ \"$revision\": \"r2\", \"a\": {}, \"c\": {\n  // title\n} }\n"
    );
    assert_eq!(
        render("{ \"a\": 1, /* about b */ \"b\": 2, // end\n}", &json!({})),
        "{ \"$revision\": \"r2\",\n}\n"
    );
}

#[test]
fn a_comment_never_swallows_what_follows_it() {
    let old = "{ \"$revision\": \"r2\",\n// t\n\n\"b\": 1, \"c\": 2 // c\n, \"d\": 3 // d\n}\n";
    assert_eq!(
        render(old, &json!({ "c": 2, "e": 1 })),
        "{ \"$revision\": \"r2\",\n// t\n \"c\": 2 // c\n, \"e\": 1\n}\n"
    );
}

#[test]
fn a_text_that_says_anything_else_is_not_given_out() {
    let members = json!({ "$revision": "r2", "a": 1 });
    let members = members.as_object().unwrap();
    assert!(says("\u{feff}{ $revision: 'r2', a: 1 }\n", members));
    for text in [
        "{ $revision: 'r2', a: 1 }",
        "{ a: 1, $revision: 'r2' }\n",
        "{ $revision: 'r1', a: 1 }\n",
        "{ $revision: 'r2', a: 2 }\n",
        "{ $revision: 'r2' // , a: 1\n}\n",
        "{ $revision: 'r2', a: 1, b: 2 }\n",
        "{ $revision: 'r2', a: 1 \n",
    ] {
        assert!(!says(text, members), "{text}");
    }
}

#[test]
fn a_text_that_is_broken_is_not_kept() {
    for old in ["", "{", "// a", "{ a: 1, a: 2 }", "{ a: 1e999 }"] {
        assert_eq!(render(old, &json!({})), "{\n  \"$revision\": \"r2\"\n}\n");
    }
}

#[test]
fn what_a_text_cannot_hold_is_not_written() {
    let nothing = "{\n  \"$revision\": \"r2\"\n}\n";
    assert_eq!(render_text(None, &json!({ "$revision": "x" }), "r2"), nothing);
    assert_eq!(render_text(Some(nothing), &json!(5), "r2"), nothing);
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-e]", 1 => "[a-c.\"'ä/*]{0,3}", 1 => Just("$revision".to_owned())]
}

fn inner() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i8>().prop_map(Value::from),
        "[a-c\"'/*\n]{0,3}".prop_map(Value::from),
        Just(json!([1, { "a": "//" }])),
        Just(json!({})),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop::collection::btree_map(name(), inner, 0..5)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    })
}

fn document() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(name(), inner(), 0..6).prop_map(|mut members| {
        members.remove(REVISION_NAME);
        Value::Object(members.into_iter().collect())
    })
}

/// White space and comments that somebody may have written.
fn gap() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "",
        "",
        "\n",
        "\n  ",
        "\n\n\t",
        " ",
        "\r\n",
        "\r",
        "\u{a0}",
        " // c\n",
        "/* c */",
        "/* c\n */",
        "//\r",
        "/*/\n*/",
        "/**/",
        "// /*\n",
        "/*//*/",
    ]);
    prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}

/// Writes a document with those gaps, in the order of those numbers.
fn written(
    value: &Value,
    gaps: &mut impl Iterator<Item = String>,
    numbers: &mut impl Iterator<Item = u8>,
) -> String {
    let Value::Object(members) = value else { return value.to_string() };
    let mut members: Vec<_> =
        members.iter().map(|member| (numbers.next().unwrap(), member)).collect();
    members.sort_by_key(|(number, _)| *number);
    let mut out = "{".to_owned();
    let count = members.len();
    for (index, (number, (name, member))) in members.into_iter().enumerate() {
        out += &gaps.next().unwrap();
        let is_bare = number % 2 == 0 && name.len() == 1 && name.as_bytes()[0].is_ascii_lowercase();
        out += &if is_bare { format!("{name} ") } else { Value::from(name.as_str()).to_string() };
        out += &format!("{}:{}", gaps.next().unwrap(), gaps.next().unwrap());
        out += &written(member, gaps, numbers);
        out += &gaps.next().unwrap();
        if index + 1 < count || number % 3 == 0 {
            out.push(',');
        }
    }
    out + &gaps.next().unwrap() + "}"
}

fn any_text() -> impl Strategy<Value = (String, Value)> {
    let gaps = prop::collection::vec(gap(), 1..20);
    let numbers = prop::collection::vec(any::<u8>(), 1..20);
    (document(), gaps, numbers, 0..3).prop_map(|(document, gaps, numbers, revision)| {
        let (mut gaps, mut numbers) = (gaps.into_iter().cycle(), numbers.into_iter().cycle());
        let mut whole = document.clone();
        if revision > 0 {
            whole[REVISION_NAME] = json!(format!("r{revision}"));
        }
        let before = gaps.next().unwrap();
        let text = before + &written(&whole, &mut gaps, &mut numbers) + &gaps.next().unwrap();
        (text, document)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_takes_any_document_and_stays_as_it_is_then(
        (old, was) in any_text(), document in document(),
    ) {
        prop_assert_eq!(&parse_text(old.as_bytes()).unwrap().document, &was);
        for document in [&document, &was] {
            let text = render_text(Some(&old), document, "r2");
            let parsed = parse_text(text.as_bytes()).unwrap();
            prop_assert_eq!(&parsed.document, document, "{}", text);
            prop_assert_eq!(parsed.revision.as_deref(), Some("r2"));
            prop_assert!(text.ends_with('\n'));
            prop_assert_eq!(&render_text(Some(&text), document, "r2"), &text);
        }
    }

    // The safety net exists for texts that nobody thought of; the rewriting does not lean on it.
    #[test]
    fn the_rewriting_needs_no_net((old, _) in any_text(), document in document()) {
        let mut members = document.as_object().unwrap().clone();
        members.insert(REVISION_NAME.to_owned(), json!("r2"));
        let text = rewrite(&old, &members).unwrap();
        prop_assert!(says(&text, &members), "{}", text);
    }

    #[test]
    fn every_comment_follows_its_member(
        was in prop::collection::btree_map("[a-h]", 0..3_u8, 0..7),
        new in prop::collection::btree_map("[a-h]", 0..3_u8, 0..7),
        ways in prop::collection::vec((0..4_u8, any::<bool>()), 8),
        has_last_comma in any::<bool>(),
    ) {
        let mut old = "{ // head\n  \"$revision\": \"r1\", // revision\n\n  // title\n".to_owned();
        for (index, ((name, value), (way, has_blank))) in was.iter().zip(&ways).enumerate() {
            let comma = if index + 1 < was.len() || has_last_comma { "," } else { "" };
            let blank = if *has_blank { "\n" } else { "" };
            old += &match way {
                0 => format!("{blank}  // about {name}\n  {name}: {value}{comma}\n"),
                1 => format!("{blank}  {name}: {value}{comma} // about {name}\n"),
                2 => format!("{blank}  /* about {name} */ {name}: {value}{comma}\n"),
                _ => format!("{blank}  {name}: {value} // about {name}\n  {comma}\n"),
            };
        }
        old += "  // foot\n}\n// tail\n";
        let old = if was.is_empty() || ways.first().is_some_and(|way| way.1) { old } else { old.replace("  // title\n", "") };
        let document = Value::Object(new.iter().map(|(name, value)| (name.clone(), json!(value))).collect());
        let text = render_text(Some(&old), &document, "r2");
        for common in ["// head", "// revision", "// foot", "// tail"] {
            prop_assert_eq!(text.matches(common).count(), 1, "{}", text);
        }
        prop_assert_eq!(text.contains("// title"), old.contains("// title"), "{}", text);
        for name in was.keys() {
            let about = format!("about {name}");
            prop_assert_eq!(text.contains(&about), new.contains_key(name), "{}\n{}", old, text);
        }
        let names = |text: &str| -> Vec<String> {
            parse(text).unwrap().layout.members.into_iter().map(|member| member.name).skip(1).collect()
        };
        let stayed = names(&old).into_iter().filter(|name| new.contains_key(name));
        let came = new.keys().filter(|name| !was.contains_key(*name)).cloned();
        prop_assert_eq!(names(&text), stayed.chain(came).collect::<Vec<_>>());
    }
}
