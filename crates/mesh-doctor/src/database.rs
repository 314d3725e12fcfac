use std::path::Path;

use crate::{Check, Finding};

/// The database as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseState {
    /// It was checked page by page and is sound.
    Sound,
    /// There is none yet.
    Absent,
    /// A newer program has written it.
    Newer {
        /// Its schema.
        theirs: u32,
        /// The newest that this program knows.
        ours: u32,
    },
    /// It is damaged, or no database of an agent.
    Damaged {
        /// What was found.
        detail: String,
    },
    /// It cannot be read.
    Unreadable {
        /// Why.
        why: String,
    },
}

/// Judges the database at `path`.
#[must_use]
pub fn judge_database(path: &Path, state: &DatabaseState) -> Finding {
    let shown = path.display();
    match state {
        DatabaseState::Sound => Finding::good(Check::Database, format!("{shown} is sound")),
        DatabaseState::Absent => Finding::good(
            Check::Database,
            format!("{shown} does not exist yet; the first start makes it"),
        ),
        DatabaseState::Newer { theirs, ours } => Finding::failed(
            Check::Database,
            format!(
                "{shown} was written by a newer program: it has schema {theirs}, this program knows schemas up to {ours}"
            ),
            "install the newer mesh-agent again, or restore the backup from before the upgrade (docs/operations.md)",
        ),
        DatabaseState::Damaged { detail } => Finding::failed(
            Check::Database,
            format!("{shown} is damaged: {detail}"),
            "stop the agent, keep a copy of the data directory, and restore node.key and mesh.db from a backup (docs/operations.md)",
        ),
        DatabaseState::Unreadable { why } => Finding::failed(
            Check::Database,
            format!("{shown} cannot be read: {why}"),
            "look at the permissions and the disk of the data directory",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_and_a_newer_schema_are_named_with_the_mend() {
        let path = Path::new("/srv/mesh/mesh.db");
        let newer = judge_database(path, &DatabaseState::Newer { theirs: 9, ours: 1 });
        assert!(!newer.ok && newer.detail.contains("schema 9"), "{newer:?}");
        let damaged = DatabaseState::Damaged { detail: String::from("page 3 is never used") };
        let damaged = judge_database(path, &damaged);
        assert!(!damaged.ok && damaged.detail.contains("page 3"), "{damaged:?}");
        assert!(damaged.hint.contains("backup"));
        assert!(judge_database(path, &DatabaseState::Sound).ok);
        assert!(judge_database(path, &DatabaseState::Absent).ok);
        let unreadable = DatabaseState::Unreadable { why: String::from("not allowed") };
        assert!(!judge_database(path, &unreadable).ok);
    }
}
