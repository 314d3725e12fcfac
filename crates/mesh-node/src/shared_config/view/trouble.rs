//! What is the matter with a file, and where in it.

use mesh_config::{ConfigKey, ParsedText, TextError, TextErrorKind};
use mesh_configfile::FileError;
use mesh_control::ConfigFileState;
use mesh_protocol::ErrorCode;

use crate::error::chain;
use crate::shared_config::change::Refusal;

/// Why the file and the configuration are not in step.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    pub(super) state: Option<ConfigFileState>,
    pub(super) detail: String,
    pub(super) line: Option<u64>,
    pub(super) column: Option<u64>,
    pub(super) key: Option<String>,
    pub(super) rule: Option<String>,
}

impl Trouble {
    pub(super) fn of_file(error: &FileError, doing: ConfigFileState) -> Self {
        Self { state: Some(doing), detail: chain(error), ..Self::default() }
    }

    pub(super) fn of_text(error: &TextError) -> Self {
        let detail = match error.kind {
            TextErrorKind::Empty => {
                "the file is empty, which changes nothing; delete it to have it written anew"
                    .to_owned()
            }
            TextErrorKind::NotText | TextErrorKind::NotAnObject | TextErrorKind::Broken => {
                error.reason.clone()
            }
        };
        Self {
            state: Some(ConfigFileState::Broken),
            detail,
            line: Some(error.line),
            column: Some(error.column),
            ..Self::default()
        }
    }

    pub(super) fn of_refusal(
        refusal: &Refusal,
        text: &ParsedText,
        prefix: Option<&ConfigKey>,
    ) -> Self {
        let message = &refusal.error.message;
        if is_passing(refusal.error.code) {
            let detail = format!("{message}; the save is taken as soon as that is over");
            let rule = Some(refusal.error.code.as_str().to_owned());
            return Self { state: Some(ConfigFileState::Pending), detail, rule, ..Self::default() };
        }
        let place = refusal.key.as_ref().and_then(|key| place_in(text, key, prefix));
        Self {
            state: Some(ConfigFileState::Broken),
            detail: message.clone(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            key: refusal.named.clone(),
            rule: Some(refusal.error.code.as_str().to_owned()),
        }
    }

    pub(super) fn of_misplaced(key: &ConfigKey, text: &ParsedText, prefix: &ConfigKey) -> Self {
        let place = place_in(text, key, Some(prefix));
        Self {
            state: Some(ConfigFileState::Broken),
            detail: format!(
                "{key} belongs to each machine alone, and this file shows shared keys only: it goes into the file of the whole configuration; nothing was changed"
            ),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            key: Some(key.to_string()),
            rule: Some(ErrorCode::ConfigKeyLocal.as_str().to_owned()),
        }
    }

    /// Whether the same text may be taken later without anybody mending it.
    pub(super) fn is_passing(&self) -> bool {
        self.state == Some(ConfigFileState::Pending)
    }
}

/// Whether a refusal is over by itself.
fn is_passing(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::StorageError
            | ErrorCode::DiskFull
            | ErrorCode::RateLimited
            | ErrorCode::ShuttingDown
    )
}

/// Where a key stands in the text of a view.
fn place_in(text: &ParsedText, key: &ConfigKey, prefix: Option<&ConfigKey>) -> Option<(u64, u64)> {
    let beneath = key.segments().get(prefix.map_or(0, |prefix| prefix.segments().len())..)?;
    text.place_of(&ConfigKey::new(beneath.to_vec()).ok()?)
}
