use mesh_config::parse_text;

use super::*;
use crate::shared_config::change::Refusal;

fn local(document: &Value) -> Flat {
    flatten(None, document).unwrap()
}

fn listed() -> LocalKeys {
    LocalKeys::new(["agents.oak.debug".parse().unwrap()])
}

#[test]
fn what_the_machine_refuses_for_a_moment_is_taken_later() {
    let text = parse_text(b"{}").unwrap();
    let trouble = |code| {
        let refusal = Refusal::from(crate::NodeError::new(code, "no"));
        Trouble::of_refusal(&refusal, &text, None)
    };
    for code in [ErrorCode::StorageError, ErrorCode::DiskFull, ErrorCode::RateLimited] {
        let passing = trouble(code);
        assert!(passing.is_passing() && passing.detail.starts_with("no; "), "{passing:?}");
    }
    assert!(!trouble(ErrorCode::SecretFound).is_passing());
}

#[test]
fn what_was_shared_when_somebody_listed_it_stays_as_it_was_shown() {
    let shown = json!({ "agents": { "oak": { "bot": 1, "debug": { "a": 1, "b": 1, "c": { "$sealed": { "to": [] } } } } } });
    let mine = local(&json!({ "agents": { "oak": { "debug": { "b": 2 } } } }));
    let wanted = Some(local(&json!({ "local": { "x": 1 } })));
    let mut seen =
        Seen { shared: local(&shown), local: mine, local_wanted: wanted, ..Seen::default() };
    seen.keep_own(&listed());
    assert_eq!(seen.shared, local(&json!({ "agents": { "oak": { "bot": 1 } } })));
    assert_eq!(seen.local, local(&json!({ "agents": { "oak": { "debug": { "a": 1, "b": 2 } } } })));
    let keys: Vec<String> = seen.local_wanted.unwrap().keys().map(ToString::to_string).collect();
    assert_eq!(keys, ["agents.oak.debug.a", "agents.oak.debug.b", "local.x"]);
}

#[test]
fn a_file_rests_longer_the_more_it_takes_but_never_until_somebody_wonders() {
    let every = Duration::from_millis(200);
    assert_eq!(rest_after(Duration::from_millis(3), every), every);
    assert_eq!(rest_after(Duration::from_millis(100), every), Duration::from_secs(1));
    // A frozen process, a full disk.
    assert_eq!(rest_after(Duration::from_secs(60), every), REST_MAX);
    assert_eq!(rest_after(Duration::from_secs(60), Duration::from_secs(9)), Duration::from_secs(9));
}
