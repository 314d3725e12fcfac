//! What a configuration of 10,000 keys costs: `cargo bench -p mesh-config --bench config`.
//!
//! Every figure is the median of 21 runs, of a document with 100 agents of 50 keys and 5,000 settings.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a benchmark measures with the real clock, and may fail"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use mesh_config::{
    Digests, EntryValue, Member, Schema, ValueDigest, agents_edits, export, flatten,
};
use mesh_protocol::PeerId;
use mesh_testkit::Figures;
use serde_json::{Map, Value, json};

static FIGURES: Figures =
    Figures::of(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_CRATE_NAME")));

const RUNS: usize = 21;

fn main() {
    let document = document();
    let flat = flatten(None, &document).expect("keys are short");
    let bytes = format!("{} bytes of JSON", document.to_string().len());
    FIGURES.add("keys of the document", &flat.len().to_string(), "", bytes.as_str());

    measure("compile a user's schema of 100 rules", || Schema::with_users(&users_rules()).is_ok());
    let built_in = Schema::built_in();
    measure("check against the built-in schema (aim 10 ms)", || built_in.check(&document).is_ok());
    let users = Schema::with_users(&users_rules()).expect("the rules are valid");
    measure("check against it and a user's (aim 10 ms)", || users.check(&document).is_ok());
    let broken = with_mistakes(&document);
    measure("say what is wrong in 100 places", || built_in.check(&broken).is_err());

    let digests: BTreeMap<_, _> =
        flat.iter().map(|(key, value)| (key.clone(), ValueDigest::of_plain(value))).collect();
    measure("digest of all values", || {
        flat.values()
            .map(ValueDigest::of_plain)
            .filter(|digest| digest.as_bytes() != &[0; 16])
            .count()
            > 0
    });
    measure("digests by range", || {
        !Digests::of(digests.iter().map(|(key, digest)| (key, *digest))).to_bytes().is_empty()
    });
    measure("export a template", || export(&document, |_| false, |_, _| false).is_ok());

    let entries: BTreeMap<_, _> =
        flat.into_iter().map(|(key, value)| (key, EntryValue::Plain(value))).collect();
    let members: Vec<Member> = (0..100).map(member).collect();
    let me = PeerId::from_bytes([0; 32]);
    measure("edits of the agents section, as steward", || {
        !agents_edits(&entries, &members, me, true).is_empty()
    });
}

fn measure(what: &str, mut run: impl FnMut() -> bool) {
    let mut times: Vec<_> = (0..RUNS)
        .map(|_| {
            let started = Instant::now();
            assert!(black_box(run()), "{what}");
            started.elapsed()
        })
        .collect();
    times.sort();
    let median = times.get(RUNS / 2).copied().unwrap_or_default();
    FIGURES.add(what, &format!("{:.2} ms", median.as_secs_f64() * 1000.0), "", "");
}

fn member(number: u8) -> Member {
    Member {
        peer_id: PeerId::from_bytes([number; 32]),
        hostname: format!("agent-{number}"),
        addresses: vec![format!("100.64.0.{number}:13500")],
        is_active: false,
    }
}

fn document() -> Value {
    let agents: Map<String, Value> = (0..100)
        .map(|number| {
            let mut fields = json!({
                "webhook": format!("https://agent-{number}.example.org/hook"),
                "bot": format!("@agent_{number}"),
            });
            if let Value::Object(fields) = &mut fields {
                fields.extend((2..50).map(|field| (format!("field-{field}"), json!(field))));
            }
            (format!("agent-{number}"), fields)
        })
        .collect();
    let settings: Map<String, Value> = (0..5000)
        .map(|number| (format!("key-{number}"), json!(format!("value {number}"))))
        .collect();
    json!({ "agents": agents, "settings": settings })
}

fn with_mistakes(document: &Value) -> Value {
    let mut document = document.clone();
    for number in 0..100 {
        if let Some(webhook) = document.pointer_mut(&format!("/agents/agent-{number}/webhook")) {
            *webhook = json!(number);
        }
    }
    document
}

fn users_rules() -> Value {
    let fields: Map<String, Value> = (2..50)
        .map(|field| (format!("field-{field}"), json!({ "type": "integer", "maximum": 100 })))
        .collect();
    let keys: Map<String, Value> =
        (0..50).map(|key| (format!("key-{key}"), json!({ "type": "string" }))).collect();
    json!({ "properties": {
        "agents": { "additionalProperties": { "required": ["bot"], "properties": fields } },
        "settings": { "properties": keys, "additionalProperties": { "pattern": "^value [0-9]+$" } },
    } })
}
