//! How the configuration changes: planned, scanned, checked, written; one change at a time.

use std::collections::BTreeMap;

use mesh_config::{
    Change, ConfigError, ConfigKey, ConfigState, Edit, Entry, EntryValue, Violation,
};
use mesh_protocol::{ErrorCode, UnixMillis};
use mesh_secrets::{Finding, ScanError};
use mesh_tables::{ConfigHistoryRow, ConfigWrite};
use serde_json::{Value, json};

use super::standing::users_schema;
use crate::clock;
use crate::error::NodeError;
use crate::shared::{Shared, lock};

/// Mistakes that one message names.
const NAMED_MAX: usize = 5;

/// How often a change is planned anew because another member's came first.
const ATTEMPTS_MAX: usize = 10;

/// Keys with what stands at them in the table.
type Rows = BTreeMap<String, Option<String>>;

/// What a change did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigChanged {
    /// The number of the change; none when everything was as it should be.
    pub version: Option<u64>,
    /// The keys that it changed.
    pub keys: Vec<ConfigKey>,
}

/// What is to be changed, and why.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) edits: Vec<Edit>,
    /// Entries that are replaced by somebody who did not know them.
    pub(super) over: Vec<(ConfigKey, Entry)>,
    pub(super) note: Option<String>,
    /// The conflict that is decided with it.
    pub(super) settles: Option<String>,
}

/// Why a change was refused, where the keys matter to whoever asked.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: NodeError,
    /// The first key that is at fault, as far as one is.
    pub(super) key: Option<ConfigKey>,
    /// As it may be told.
    pub(super) named: Option<String>,
}

impl From<NodeError> for Refusal {
    fn from(error: NodeError) -> Self {
        Self { error, key: None, named: None }
    }
}

impl From<ConfigError> for NodeError {
    fn from(error: ConfigError) -> Self {
        let code = match &error {
            ConfigError::ValueTooLarge { .. } | ConfigError::TooMany { .. } => {
                ErrorCode::ConfigTooLarge
            }
            ConfigError::Key { .. }
            | ConfigError::Entry { .. }
            | ConfigError::Value { .. }
            | ConfigError::Placeholder { .. }
            | ConfigError::Clash { .. }
            | ConfigError::Outside { .. } => ErrorCode::ConfigKeyInvalid,
        };
        Self::new(code, format!("{error}; nothing was changed"))
    }
}

impl Shared {
    /// Changes the configuration as `plan` wishes, which sees the state that the change is made to.
    pub(super) async fn change_config(
        &self,
        mut plan: impl FnMut(&ConfigState) -> Result<Request, NodeError> + Send,
    ) -> Result<ConfigChanged, Refusal> {
        self.wait_until_settled().await?;
        let config = &self.shared_config;
        let _alone = config.gate.lock().await;
        let at = clock::now().wall;
        let mut known = Rows::new();
        for _ in 0..ATTEMPTS_MAX {
            let has_users_schema = lock(&config.standing).has_users_schema();
            let (change, settles, touched) = {
                let state = lock(&config.state);
                let Request { edits, over, note, settles } = plan(&state)?;
                let change = state.plan(edits, over, self.me, at, note).map_err(NodeError::from)?;
                if change.items.is_empty() && settles.is_none() {
                    return Ok(ConfigChanged::default());
                }
                let touched = touched(&state, &change, has_users_schema);
                (change, settles, touched)
            };
            self.refuse_local(&change)?;
            self.scan_change(&change, at)?;
            self.check_document(&touched, &change)?;
            known = self.commit(&change, settles, known, at).await?;
            if known.is_empty() {
                let keys = change.items.iter().map(|item| item.key.clone()).collect();
                return Ok(ConfigChanged { version: Some(change.version), keys });
            }
        }
        let message = "others keep changing the same keys; nothing was changed";
        Err(NodeError::new(ErrorCode::RateLimited, message).with_hint("try again").into())
    }

    /// Removes the rows of which `config check` shows `shown` and that are no key's; says whether there are any. Nothing
    /// goes by them, so there is nothing to tell of it and nothing to go back to.
    pub(crate) async fn remove_config_rows(&self, shown: &str) -> Result<bool, NodeError> {
        self.wait_until_settled().await?;
        let config = &self.shared_config;
        let _alone = config.gate.lock().await;
        let rows = lock(&config.state).rows_without_key(shown);
        if rows.is_empty() {
            return Ok(false);
        }
        let rows: Vec<(String, Option<String>)> = rows.into_iter().map(|row| (row, None)).collect();
        let write = ConfigWrite { rows: rows.clone(), ..ConfigWrite::default() };
        let written = self.replication.tables.write_config(write, clock::now().wall).await;
        self.note_tables(&written);
        let _nothing_was_expected = written?;
        self.take_config_rows(rows.iter().map(|(row, _)| (row.as_str(), None)));
        Ok(true)
    }

    fn refuse_local(&self, change: &Change) -> Result<(), Refusal> {
        let local = self.shared_config.local_keys();
        // What was shared before the list had it can still be taken away.
        let mut set = change.items.iter().filter(|item| item.new.is_some());
        let Some(item) = set.find(|item| local.is_local(&item.key)) else {
            return Ok(());
        };
        let error = NodeError::new(
            ErrorCode::ConfigKeyLocal,
            format!(
                "{} belongs to each machine alone and is not shared; nothing was changed",
                item.key
            ),
        );
        Err(Refusal { error, key: Some(item.key.clone()), named: Some(item.key.to_string()) })
    }

    fn scan_change(&self, change: &Change, at: UnixMillis) -> Result<(), Refusal> {
        let seconds = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
        let scanner = &self.shared_config.scanner;
        let failed = |what: &str, error: ScanError| {
            let message = format!(
                "{what} cannot be looked through for secrets ({error}), so nothing was changed"
            );
            NodeError::new(ErrorCode::SecretFound, message)
        };
        let mut found: Vec<(Option<&ConfigKey>, Finding)> = Vec::new();
        if let Some(note) = &change.note {
            let findings = scanner.scan_text("the note", note.as_bytes(), seconds);
            let findings = findings.map_err(|error| failed("the note", error))?;
            found.extend(findings.into_iter().map(|finding| (None, finding)));
        }
        for item in &change.items {
            let name = item.key.to_string();
            // Of a sealed value only the name of its key travels in clear.
            let value = match &item.new {
                None => continue,
                Some(EntryValue::Plain(value)) => value,
                Some(EntryValue::Sealed(_)) => &Value::Null,
            };
            let findings = scanner.scan_value(&name, value, seconds);
            let findings = findings.map_err(|error| failed("a value", error))?;
            found.extend(findings.into_iter().map(|finding| (Some(&item.key), finding)));
        }
        let Some((key, first)) = found.first() else { return Ok(()) };
        // A key can be a secret itself: the finding has its name without that.
        let named: Vec<String> = found
            .iter()
            .take(NAMED_MAX)
            .map(|(_, finding)| {
                format!("{} holds {} (rule {})", finding.name, finding.what, finding.rule)
            })
            .collect();
        let error = NodeError::new(
            ErrorCode::SecretFound,
            format!("secrets are not shared: {}{}; nothing was changed", named.join("; "), more(found.len())),
        )
        .with_hint(
            "keep the secret in a file on each machine and share its path (token_file), or seal the value to those who need it: `mesh-ctl config set --sealed KEY --to HOST`",
        );
        Err(Refusal { error, key: key.cloned(), named: key.map(|_| first.name.clone()) })
    }

    fn check_document(&self, touched: &Value, change: &Change) -> Result<(), Refusal> {
        let violations = self.violations(touched);
        if violations.is_empty() || self.adds_none(change) {
            return Ok(());
        }
        Err(refused(&violations))
    }

    /// Whether the configuration breaks all those rules as it stands: several mistakes are put right one by one.
    fn adds_none(&self, change: &Change) -> bool {
        let (before, after) = {
            let state = lock(&self.shared_config.state);
            (state.document(None).unwrap_or_else(|| json!({})), state.after(change))
        };
        let (before, after) = (self.violations(&before), self.violations(&after));
        after.iter().all(|one| before.contains(one))
    }

    fn violations(&self, document: &Value) -> Vec<Violation> {
        let schema = lock(&self.shared_config.standing).schema_for(users_schema(document));
        match schema {
            Ok(schema) => schema.check(document).err().unwrap_or_default(),
            Err(violation) => vec![violation],
        }
    }

    /// Writes it, unless something else stands in the table than it was planned upon: that is taken into the
    /// state, and returned. `known` is what was returned before.
    async fn commit(
        &self,
        change: &Change,
        settles: Option<String>,
        mut known: Rows,
        at: UnixMillis,
    ) -> Result<Rows, Refusal> {
        let expected = change.items.iter().map(|item| {
            let key = item.key.to_string();
            let standing = known.remove(&key);
            (key, standing.unwrap_or_else(|| item.old.as_ref().map(Entry::to_text)))
        });
        let expected = expected.collect();
        let rows = change.rows();
        let history = change.history().into_iter().map(|(key, text)| ConfigHistoryRow {
            version: change.version,
            author: change.by,
            key,
            change: text,
        });
        let write =
            ConfigWrite { rows: rows.clone(), expected, history: history.collect(), settles };
        let written = self.replication.tables.write_config(write, at).await;
        self.note_tables(&written);
        let standing = written.map_err(NodeError::from)?;
        // Whoever asks next sees it, however far behind the feed is.
        let rows = if standing.is_empty() { &rows } else { &standing };
        self.take_config_rows(rows.iter().map(|(key, entry)| (key.as_str(), entry.as_deref())));
        Ok(standing.into_iter().collect())
    }
}

/// What is to be validated: the whole document where a schema of the user may say anything, else the
/// entries that the change touches.
fn touched(state: &ConfigState, change: &Change, has_users_schema: bool) -> Value {
    let is_small = !has_users_schema
        && change.items.len() < 64
        && change
            .items
            .iter()
            .all(|item| item.key.segments().first().is_some_and(|name| name != "mesh"));
    if is_small { state.after_nearby(change) } else { state.after(change) }
}

fn more(count: usize) -> String {
    match count.saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    }
}

fn refused(violations: &[Violation]) -> Refusal {
    let named: Vec<String> = violations
        .iter()
        .take(NAMED_MAX)
        .map(|violation| format!("{}: {}", violation.path, violation.reason))
        .collect();
    let error = NodeError::new(
        ErrorCode::SchemaInvalid,
        format!("the configuration would not fit its schema: {}{}; nothing was changed", named.join("; "), more(violations.len())),
    )
    .with_hint("`mesh-ctl config get mesh.schema` shows the schema of this mesh, docs/configuration.md the built-in one");
    let named = violations.first().map(|violation| violation.path.clone());
    let key = named.as_ref().and_then(|path| path.parse().ok());
    Refusal { error, key, named }
}
