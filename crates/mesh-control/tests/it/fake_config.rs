//! The shared configuration of the fake agent.

use futures_util::stream::{self, BoxStream, StreamExt as _};
use mesh_control::{
    ApiError, ConfigAction, ConfigApi, ConfigChangeView, ConfigChanged, ConfigCheckView,
    ConfigConflictView, ConfigDifference, ConfigEntryView, ConfigFileState, ConfigFileView,
    ConfigHistoryQuery, ConfigHistoryView, ConfigImport, ConfigImported, ConfigPeerFile,
    ConfigPeerView, ConfigProblem, ConfigQuery, ConfigRevert, ConfigSeal, ConfigSet,
    ConfigStateView, ConfigUnset, ConfigView, ConfigWatchQuery,
};
use mesh_protocol::ErrorCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::{FakeAgent, HOSTILE, peer};

const WEBHOOK: &str = "agents.oak.webhook";

/// A question with its values, which their debug form hides.
fn question(name: &str, request: &impl Serialize) -> String {
    format!("{name} {}", serde_json::to_string(request).unwrap())
}

fn sealed(to: &[&str]) -> Value {
    json!({"$sealed": {"to": to}})
}

/// A key `same` has its value already.
fn changed(key: &str, version: u64) -> ConfigChanged {
    if key == "cron" {
        return ConfigChanged { version: None, changed: vec![key.to_owned()] };
    }
    if key == "same" {
        return ConfigChanged::default();
    }
    ConfigChanged { version: Some(version), changed: vec![key.to_owned()] }
}

fn broken_file() -> ConfigFileView {
    ConfigFileView {
        path: "/srv/mesh/oak.json".to_owned(),
        prefix: Some("agents.oak".to_owned()),
        state: ConfigFileState::Broken,
        detail: format!("expected a value, found {HOSTILE}"),
        revision: Some("00c0ffee00c0ffee".to_owned()),
        line: Some(3),
        column: Some(17),
        key: Some(WEBHOOK.to_owned()),
        rule: Some("json".to_owned()),
    }
}

fn whole_file() -> ConfigFileView {
    ConfigFileView {
        path: "/var/lib/mesh-agent/mesh-config.json".to_owned(),
        prefix: None,
        state: ConfigFileState::InStep,
        detail: String::new(),
        line: None,
        column: None,
        key: None,
        rule: None,
        ..broken_file()
    }
}

fn problem() -> ConfigProblem {
    ConfigProblem {
        kind: "reference_missing".to_owned(),
        key: Some("databases.main.token_file".to_owned()),
        detail: format!("the file /etc/{HOSTILE} is not there"),
        hint: "put the token there, with mode 0600".to_owned(),
    }
}

impl FakeAgent {
    fn entries(&self, is_revealed: bool) -> Vec<ConfigEntryView> {
        let entry = |key: &str, value, version, by: &str, seconds| ConfigEntryView {
            key: key.to_owned(),
            value,
            version,
            by: by.to_owned(),
            at: self.ago(seconds),
            sealed_for: vec![],
        };
        let opened = if is_revealed { json!("an opened value") } else { sealed(&["mint", "oak"]) };
        vec![
            entry("agents.oak.bot", json!(["@oak", 1.5, null]), 3, "oak", 86_400 * 3),
            entry(WEBHOOK, json!("https://oak.example/hook"), 17, "mint", 120),
            ConfigEntryView {
                sealed_for: vec!["mint".to_owned(), "oak".to_owned()],
                ..entry("databases.main.password", opened, 16, "baulder", 7_200)
            },
            entry("notes.\"a b\"", json!(HOSTILE), 1, HOSTILE, 86_400),
        ]
    }

    /// `wrong` is nowhere, `cron` belongs to this machine alone, and the value of `sealed` is for others.
    fn part(&self, query: &ConfigQuery) -> Result<ConfigView, ApiError> {
        let mut entries = self.entries(query.reveal);
        let value = match query.key.as_deref() {
            None => json!({
                "agents": {"oak": {"bot": entries[0].value, "webhook": entries[1].value}},
                "databases": {"main": {"password": entries[2].value}},
                "notes": {"a b": HOSTILE},
            }),
            Some("agents") => {
                entries.truncate(2);
                json!({"oak": {"bot": entries[0].value, "webhook": entries[1].value}})
            }
            Some("empty") => {
                entries = vec![ConfigEntryView {
                    key: "empty".into(),
                    value: json!({}),
                    ..entries.remove(0)
                }];
                json!({})
            }
            Some("cron") => {
                entries.clear();
                json!({"nightly": "3 h"})
            }
            Some("sealed") => {
                let hint = mesh_control::hints::SEALED_UNREADABLE;
                let code = ErrorCode::SealedUnreadable;
                return Err(ApiError::new(code, "sealed is sealed to oak", hint));
            }
            Some(key) => {
                entries.retain(|entry| entry.key == key);
                let Some(entry) = entries.first() else {
                    let hint = mesh_control::hints::UNKNOWN_KEY;
                    let message = format!("nothing is at {key}");
                    return Err(ApiError::new(ErrorCode::UnknownKey, message, hint));
                };
                entry.value.clone()
            }
        };
        let entries_left_out = if query.key.is_none() { 300 } else { 0 };
        Ok(ConfigView { key: query.key.clone(), value, version: 17, entries, entries_left_out })
    }

    fn history(&self) -> Vec<ConfigHistoryView> {
        let change = |version, by: &str, key: &str, action, value| ConfigHistoryView {
            key: key.to_owned(),
            value,
            version,
            by: by.to_owned(),
            at: self.ago(120),
            action,
            old: None,
            note: None,
            conflict: None,
        };
        let conflict = ConfigConflictView {
            value: json!(HOSTILE),
            version: 17,
            by: "oak".to_owned(),
            at: self.ago(125),
        };
        vec![
            ConfigHistoryView {
                old: Some(json!("https://old.example")),
                note: Some("oak moved".to_owned()),
                conflict: Some(conflict),
                ..change(17, "mint", WEBHOOK, ConfigAction::Set, json!("https://oak.example/hook"))
            },
            change(
                16,
                "baulder",
                "databases.main.password",
                ConfigAction::Seal,
                sealed(&["mint", "oak"]),
            ),
            ConfigHistoryView {
                old: Some(Value::Null),
                note: Some(HOSTILE.to_owned()),
                ..change(2, HOSTILE, "notes.old", ConfigAction::Unset, Value::Null)
            },
        ]
    }

    fn differences(&self) -> Vec<ConfigPeerView> {
        let peer_view = |number: u8, hostname: &str| ConfigPeerView {
            hostname: hostname.to_owned(),
            peer_id: Some(peer(number)),
            in_sync: false,
            reachable: true,
            ..ConfigPeerView::default()
        };
        let file = |state, detail: &str| Some(ConfigPeerFile { state, detail: detail.to_owned() });
        vec![
            ConfigPeerView {
                in_sync: true,
                file: file(ConfigFileState::InStep, ""),
                ..peer_view(2, "mint")
            },
            ConfigPeerView {
                missing: vec!["agents.elm.webhook".to_owned()],
                extra: vec!["notes.new".to_owned(), HOSTILE.to_owned()],
                different: vec![WEBHOOK.to_owned()],
                stale: vec!["agents.gone.webhook".to_owned()],
                left_out: 4_000,
                file: file(ConfigFileState::Broken, "line 3, column 17: expected a value"),
                problems: vec![ConfigProblem {
                    kind: "reference_missing".to_owned(),
                    key: Some("agents.oak.token_file".to_owned()),
                    detail: "/etc/oak/token is not there".to_owned(),
                    hint: String::new(),
                }],
                ..peer_view(3, "oak")
            },
            ConfigPeerView {
                reachable: false,
                detail: format!("no way to {HOSTILE}"),
                ..peer_view(4, HOSTILE)
            },
        ]
    }

    fn imported(&self, is_dry_run: bool) -> ConfigImported {
        let difference =
            |key: &str, before, after| ConfigDifference { key: key.to_owned(), before, after };
        let differences = vec![
            difference("agents.elm.bot", None, Some(json!("@elm"))),
            difference(WEBHOOK, Some(Value::Null), Some(json!({}))),
            difference("notes.old", Some(json!(HOSTILE)), None),
        ];
        let mut changed: Vec<_> = differences.iter().map(|one| one.key.clone()).collect();
        changed.retain(|_| !is_dry_run);
        ConfigImported { version: (!is_dry_run).then_some(18), changed, differences }
    }
}

impl ConfigApi for FakeAgent {
    async fn config_get(&self, query: ConfigQuery) -> Result<ConfigView, ApiError> {
        self.answer(question("config", &query), ())?;
        self.part(&query)
    }

    async fn config_set(&self, request: ConfigSet) -> Result<ConfigChanged, ApiError> {
        self.answer(question("set", &request), changed(&request.key, 18))
    }

    async fn config_seal(&self, request: ConfigSeal) -> Result<ConfigChanged, ApiError> {
        self.answer(question("seal", &request), changed(&request.key, 18))
    }

    async fn config_unset(&self, request: ConfigUnset) -> Result<ConfigChanged, ApiError> {
        self.answer(question("unset", &request), changed(&request.key, 18))
    }

    async fn config_history(
        &self,
        query: ConfigHistoryQuery,
    ) -> Result<Vec<ConfigHistoryView>, ApiError> {
        let mut history = self.history();
        history.truncate(query.limit.unwrap_or(0));
        history.retain(|change| query.key.as_ref().is_none_or(|key| change.key.starts_with(key)));
        self.answer(question("history", &query), history)
    }

    /// Change 5 was made by two members, and what change 6 touched was changed again.
    async fn config_revert(&self, request: ConfigRevert) -> Result<ConfigChanged, ApiError> {
        self.answer(question("revert", &request), ())?;
        let (code, message, hint) = match (request.version, &request.by, request.force) {
            (5, None, _) => (
                ErrorCode::AmbiguousVersion,
                "mint and oak each made a change 5",
                mesh_control::hints::AMBIGUOUS_VERSION,
            ),
            (6, _, false) => (
                ErrorCode::ChangedSince,
                "agents.oak.webhook was changed again since",
                mesh_control::hints::CHANGED_SINCE,
            ),
            _ => return Ok(changed(WEBHOOK, 18)),
        };
        Err(ApiError::new(code, message, hint))
    }

    async fn config_check(&self) -> Result<ConfigCheckView, ApiError> {
        let mut check = ConfigCheckView {
            in_sync: false,
            peers: self.differences(),
            local: self.config_state().await?,
        };
        if self.is_well() {
            check.in_sync = true;
            check.peers.truncate(1);
        }
        self.answer("check".to_owned(), check)
    }

    async fn config_state(&self) -> Result<ConfigStateView, ApiError> {
        let mut state = ConfigStateView {
            valid: true,
            problems: vec![],
            keys: 4,
            version: 17,
            views: vec![whole_file()],
        };
        if !self.is_well() {
            state.problems.push(problem());
            state.views.push(broken_file());
        }
        self.answer("state".to_owned(), state)
    }

    async fn config_template_export(&self) -> Result<Value, ApiError> {
        let template = json!({"agents": {"oak": {"bot": "@oak"}}, "notes": {"a b": HOSTILE}});
        self.answer("export".to_owned(), template)
    }

    async fn config_template_import(
        &self,
        request: ConfigImport,
    ) -> Result<ConfigImported, ApiError> {
        let imported = self.imported(request.dry_run);
        self.answer(question("import", &request), imported)
    }

    fn config_watch(
        &self,
        query: ConfigWatchQuery,
    ) -> BoxStream<'static, Result<ConfigChangeView, ApiError>> {
        let change = |change: ConfigHistoryView| ConfigChangeView {
            text: format!("📡 CONFIG UPDATE: {} set {}", change.by, change.key),
            key: change.key,
            action: change.action,
            value: change.value,
            old: change.old,
            version: change.version,
            by: change.by,
            at: change.at,
        };
        let changes: Vec<_> = self.history().into_iter().rev().map(change).collect();
        match self.answer(question("config_watch", &query), changes) {
            Ok(changes) => stream::iter(changes).map(Ok).chain(stream::pending()).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }
}
