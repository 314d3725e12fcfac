//! `docs/control-api.md` is true: each of its `curl` lines is a request that the server takes, and
//! every route has one.

use std::collections::BTreeSet;

use crate::harness::Server;

const DOCUMENT: &str = include_str!("../../../../docs/control-api.md");

const ROUTES: [&str; 50] = [
    "DELETE /v1/tables/{name}",
    "DELETE /v1/tokens/{id}",
    "GET /v1/backup",
    "GET /v1/config",
    "GET /v1/config/check",
    "GET /v1/config/history",
    "GET /v1/config/state",
    "GET /v1/config/template",
    "GET /v1/config/watch",
    "GET /v1/conflicts",
    "GET /v1/doctor",
    "GET /v1/events",
    "GET /v1/events/follow",
    "GET /v1/inbox",
    "GET /v1/inbox/follow",
    "GET /v1/outbox",
    "GET /v1/parked",
    "GET /v1/peers",
    "GET /v1/pushes",
    "GET /v1/pushes/{id}",
    "GET /v1/pushes/{id}/follow",
    "GET /v1/roots",
    "GET /v1/status",
    "GET /v1/tables",
    "GET /v1/tokens",
    "GET /v1/watch",
    "POST /v1/config",
    "POST /v1/config/revert",
    "POST /v1/config/seal",
    "POST /v1/config/template",
    "POST /v1/config/unset",
    "POST /v1/conflicts/restore",
    "POST /v1/hostname",
    "POST /v1/inbox/ack",
    "POST /v1/join",
    "POST /v1/messages",
    "POST /v1/parked/accept",
    "POST /v1/peers/remove",
    "POST /v1/ping",
    "POST /v1/pull",
    "POST /v1/push",
    "POST /v1/pushes/cancel",
    "POST /v1/pushes/decide",
    "POST /v1/rollback",
    "POST /v1/sql",
    "POST /v1/sql/rows",
    "POST /v1/sync",
    "POST /v1/tables",
    "POST /v1/tokens",
    "POST /v1/transaction",
];

struct Line {
    method: String,
    path: String,
    body: String,
    is_stream: bool,
}

/// Splits a shell line at spaces outside single quotes.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('\'').enumerate();
    let mut words = vec![String::new()];
    for (number, part) in parts {
        if number % 2 == 1 {
            words.last_mut().unwrap().push_str(part);
            continue;
        }
        for (index, piece) in part.split(' ').enumerate() {
            if index > 0 {
                words.push(String::new());
            }
            words.last_mut().unwrap().push_str(piece);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn documented() -> Vec<Line> {
    let lines = DOCUMENT.lines().filter(|line| line.starts_with("curl "));
    let parse = |line: &str| {
        let words = words(line);
        let after =
            |flag: &str| words.iter().position(|word| word == flag).map(|at| words[at + 1].clone());
        let body = after("-d");
        let default = if body.is_some() { "POST" } else { "GET" };
        let url = words.iter().find_map(|word| word.strip_prefix("http://mesh")).unwrap();
        assert_eq!(after("--unix-socket").as_deref(), Some("$SOCKET"), "{line}");
        Line {
            method: after("-X").unwrap_or_else(|| default.to_owned()),
            path: url.to_owned(),
            body: body.unwrap_or_default(),
            is_stream: words.iter().any(|word| word == "-N" || word == "-sN"),
        }
    };
    lines.map(parse).collect()
}

#[tokio::test]
async fn every_line_is_a_request_that_works() {
    let server = Server::start().await;
    for line in documented().iter().filter(|line| !line.is_stream) {
        let (status, answer) = server.ask(&line.method, &line.path, &line.body).await;
        assert_eq!(status, 200, "{} {}: {answer}", line.method, line.path);
    }
    for line in documented().iter().filter(|line| line.is_stream) {
        let event = server.first_event(&line.method, &line.path, &line.body).await;
        assert!(event.starts_with('{'), "{} {}: {event}", line.method, line.path);
    }
}

#[test]
fn every_route_has_a_heading_and_a_line() {
    let headings: BTreeSet<_> = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.split_once('`'))
        .map(|(heading, _)| heading)
        .collect();
    assert_eq!(headings, BTreeSet::from(ROUTES));
    let lines: BTreeSet<_> = documented()
        .iter()
        .map(|line| {
            let path = line.path.split('?').next().unwrap();
            let path = match path.rsplit_once('/') {
                Some(("/v1/tokens", _)) => "/v1/tokens/{id}",
                Some(("/v1/tables", _)) => "/v1/tables/{name}",
                Some(("/v1/pushes", "cancel" | "decide")) => path,
                Some(("/v1/pushes", _)) => "/v1/pushes/{id}",
                Some((_, "follow")) if path.starts_with("/v1/pushes/") => "/v1/pushes/{id}/follow",
                _ => path,
            };
            format!("{} {path}", line.method)
        })
        .collect();
    assert_eq!(lines, ROUTES.map(str::to_owned).into());
}
