use std::path::Path;
use std::time::Duration;

use crate::finding::listed;
use crate::{Check, DatabaseState, Finding};

/// The WAL is emptied at 64 MiB. A larger one says that somebody has been reading all the time.
const WAL_BYTES_MAX: u64 = 256 << 20;

/// Why nothing can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TablesTrouble {
    /// The disk is full, or the database has reached its largest size.
    Full,
    /// The file cannot be written.
    ReadOnly,
    /// Another program keeps it locked.
    Locked,
    /// Another reason.
    Other,
}

/// Changes of one member whose clock is ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockAhead {
    /// The member.
    pub hostname: String,
    /// By how much.
    pub ahead: Duration,
}

/// The replicated tables as a running agent knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TablesReading {
    /// Why nothing can be written, and what SQLite says; none when it can.
    pub trouble: Option<(TablesTrouble, String)>,
    /// How many tables there are.
    pub tables: u64,
    /// Tables that are kept under another name.
    pub aside: u64,
    /// Transactions that cannot be applied yet.
    pub parked: u64,
    /// Whose clocks some of them wait for.
    pub ahead: Vec<ClockAhead>,
    /// What another program did to tables that is not replicated.
    pub oddities: Vec<String>,
    /// Rows that are too large to travel.
    pub unsent: u64,
    /// Size of the WAL.
    pub wal_bytes: u64,
}

/// What is wrong, or to be known, with what mends it.
#[derive(Default)]
struct Remarks {
    is_fault: bool,
    details: Vec<String>,
    hints: Vec<String>,
}

impl Remarks {
    fn fault(&mut self, detail: String, hint: &str) {
        self.is_fault = true;
        self.note(detail, hint);
    }

    fn note(&mut self, detail: String, hint: &str) {
        self.details.push(detail);
        self.hints.push(hint.to_owned());
    }

    fn finding(self) -> Finding {
        let Self { is_fault, details, hints } = self;
        Finding {
            check: Check::Tables,
            ok: !is_fault,
            detail: details.join("; "),
            hint: hints.join("; "),
        }
    }
}

/// Judges the replicated tables of an agent that runs.
#[must_use]
pub fn judge_tables(reading: &TablesReading) -> Finding {
    let TablesReading { trouble, tables, aside, parked, ahead, oddities, unsent, wal_bytes } =
        reading;
    let mut remarks = Remarks::default();
    if let Some((trouble, why)) = trouble {
        remarks.fault(format!("the tables cannot be written: {why}"), mend(*trouble));
    }
    if !oddities.is_empty() {
        remarks.fault(
            listed(oddities),
            "`mesh-ctl sync --force` compares the tables with the other members' and repairs them; make tables and columns through the agent",
        );
    }
    if !ahead.is_empty() {
        let ahead: Vec<String> = ahead
            .iter()
            .map(|ahead| format!("{} by {} s", ahead.hostname, ahead.ahead.as_secs()))
            .collect();
        remarks.fault(
            format!("changes are parked because their members' clocks are ahead: {}", listed(&ahead)),
            "set these clocks right; what they wrote is applied when time has caught up, or by `mesh-ctl parked accept HOST`",
        );
    } else if *parked > 0 {
        remarks.note(
            format!("{} of others parked", counted(*parked, "transaction")),
            "`mesh-ctl parked` says why",
        );
    }
    if *unsent > 0 {
        remarks.fault(
            format!(
                "on this member alone, because too large to travel: {}",
                counted(*unsent, "row")
            ),
            "the agent's log names their tables: make them smaller than 2 MiB",
        );
    }
    if *aside > 0 {
        remarks.note(
            format!(
                "kept under another name, because another definition was made earlier: {}",
                counted(*aside, "table")
            ),
            "copy what you need of NAME__mesh_aside_… into the table NAME with SQL",
        );
    }
    if *wal_bytes > WAL_BYTES_MAX {
        remarks.note(
            format!("data.db-wal has grown to {} MiB", wal_bytes >> 20),
            "a program reads data.db without ever ending its transaction: end it (`fuser data.db`)",
        );
    }
    if remarks.details.is_empty() {
        return Finding::good(
            Check::Tables,
            format!("{} can be written", counted(*tables, "table")),
        );
    }
    remarks.finding()
}

/// `1 table`, `2 tables`.
fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

const fn mend(trouble: TablesTrouble) -> &'static str {
    match trouble {
        TablesTrouble::Full => {
            "make room on the disk, or raise database_bytes_max; the agent goes on by itself"
        }
        TablesTrouble::ReadOnly => {
            "look whether the file system is mounted read-only and whose data.db, data.db-wal and data.db-shm are"
        }
        TablesTrouble::Locked => {
            "end the program that keeps a transaction open in data.db (`fuser data.db`)"
        }
        TablesTrouble::Other => {
            "look at the agent's log and the disk; a damaged data.db is moved away with the agent stopped, and made anew from the other members"
        }
    }
}

/// Judges the file of the replicated tables where no agent runs.
#[must_use]
pub fn judge_tables_file(path: &Path, state: &DatabaseState) -> Finding {
    let shown = path.display();
    match state {
        DatabaseState::Sound => Finding::good(Check::Tables, format!("{shown} is sound")),
        DatabaseState::Absent => Finding::good(
            Check::Tables,
            format!("{shown} does not exist yet; the first start makes it"),
        ),
        DatabaseState::Newer { theirs, ours } => Finding::failed(
            Check::Tables,
            format!(
                "{shown} was written by a newer program: it has schema {theirs}, this program knows schemas up to {ours}"
            ),
            "install the newer mesh-agent again",
        ),
        DatabaseState::Damaged { detail } => Finding::failed(
            Check::Tables,
            format!("{shown} is damaged: {detail}"),
            "move data.db, data.db-wal and data.db-shm away: the next start makes it anew from the other members; what only this member had is in a backup (docs/operations.md)",
        ),
        DatabaseState::Unreadable { why } => Finding::failed(
            Check::Tables,
            format!("{shown} cannot be read: {why}"),
            "look at the permissions and the disk of the data directory",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_without_a_fault_are_well() {
        let found = judge_tables(&TablesReading { tables: 3, ..TablesReading::default() });
        assert_eq!((found.ok, found.detail.as_str()), (true, "3 tables can be written"));
        assert_eq!(found.hint, "");
    }

    #[test]
    fn every_fault_is_named_with_its_mend() {
        let ahead = ClockAhead { hostname: "mint".to_owned(), ahead: Duration::from_secs(3600) };
        let found = judge_tables(&TablesReading {
            trouble: Some((TablesTrouble::Full, "the disk is full".to_owned())),
            parked: 2,
            ahead: vec![ahead],
            oddities: vec!["notes: its triggers were removed".to_owned()],
            unsent: 1,
            ..TablesReading::default()
        });
        assert!(!found.ok);
        for part in
            ["the disk is full", "mint by 3600 s", "its triggers", "too large to travel: 1 row"]
        {
            assert!(found.detail.contains(part), "{found:?}");
        }
        for part in ["make room", "parked accept", "sync --force", "make them smaller"] {
            assert!(found.hint.contains(part), "{found:?}");
        }
    }

    #[test]
    fn what_mends_itself_or_harms_nobody_is_told_and_no_fault() {
        let found = judge_tables(&TablesReading {
            parked: 4,
            aside: 1,
            wal_bytes: WAL_BYTES_MAX + 1,
            ..TablesReading::default()
        });
        assert!(found.ok);
        for part in ["4 transactions", "another name", "256 MiB"] {
            assert!(found.detail.contains(part), "{found:?}");
        }
        assert!(found.hint.contains("`mesh-ctl parked`"), "{found:?}");
    }

    #[test]
    fn a_damaged_file_is_a_fault_and_the_other_members_mend_it() {
        let path = Path::new("/srv/mesh/data.db");
        let damaged = DatabaseState::Damaged { detail: "page 3 is never used".to_owned() };
        let found = judge_tables_file(path, &damaged);
        assert!(!found.ok && found.detail.contains("page 3"), "{found:?}");
        assert!(found.hint.contains("from the other members"), "{found:?}");
        assert!(judge_tables_file(path, &DatabaseState::Sound).ok);
        assert!(judge_tables_file(path, &DatabaseState::Absent).ok);
        assert!(!judge_tables_file(path, &DatabaseState::Newer { theirs: 9, ours: 1 }).ok);
    }
}
