//! What must be true at the end, out of what the writers were told alone.

use std::collections::{BTreeMap, BTreeSet};

use mesh_control::{ConflictView, NamedValues};
use mesh_protocol::SqlValue;

use super::write::{COLUMNS, Kind, Outcome};

/// A write of one cell: row, column, and `wN`.
type CellWrite = (u64, &'static str, String);

/// What was found at the end, and how often nobody can know.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) acknowledged: usize,
    pub(super) unknown: usize,
    pub(super) visible: usize,
    pub(super) listed: usize,
    /// Writes that only one whose outcome is not known can have overwritten.
    pub(super) excused: usize,
    pub(super) wrong: Vec<String>,
}

#[derive(Default)]
struct Model {
    acknowledged: Vec<CellWrite>,
    written: BTreeSet<CellWrite>,
    overwritten: BTreeSet<CellWrite>,
    /// Rows and columns of which somebody does not know whether he wrote them.
    doubtful: BTreeMap<u64, Vec<Outcome>>,
}

/// `wN<wM` as `wN` and `wM`.
fn halves(value: &str) -> (&str, &str) {
    value.split_once('<').unwrap_or_else(|| panic!("{value:?} was never written"))
}

impl Model {
    fn of(outcomes: &[Outcome]) -> Self {
        let mut model = Self::default();
        for outcome in outcomes {
            let (row, own) = (outcome.write.row, format!("w{}", outcome.write.no));
            if !outcome.is_acknowledged {
                model.doubtful.entry(row).or_default().push(outcome.clone());
            }
            if outcome.write.kind != Kind::Delete {
                model.written.extend(COLUMNS.map(|column| (row, column, own.clone())));
            }
            for (column, value) in COLUMNS.into_iter().zip(outcome.values.iter().flatten()) {
                let (writer, before) = halves(value);
                if outcome.write.kind == Kind::Delete {
                    model.overwritten.insert((row, column, writer.to_owned()));
                } else if writer == own {
                    model.acknowledged.push((row, column, own.clone()));
                    model.overwritten.insert((row, column, before.to_owned()));
                }
            }
        }
        model
    }

    /// Whether a write whose outcome is not known may have overwritten this one.
    fn is_excused(&self, (row, column, _): &CellWrite, present: &BTreeSet<CellWrite>) -> bool {
        let doubtful = self.doubtful.get(row).into_iter().flatten();
        doubtful.clone().any(|outcome| {
            let own = (*row, *column, format!("w{}", outcome.write.no));
            // What is there says itself what it overwrote.
            outcome.write.kind == Kind::Delete
                || (self.overwritten.contains(&own) && !present.contains(&own))
        })
    }
}

fn row_of(key: &NamedValues) -> u64 {
    let [(_, id)] = key.0.as_slice() else { panic!("{key:?}") };
    let SqlValue::Integer(id) = id.0 else { panic!("{key:?}") };
    u64::try_from(id).unwrap()
}

/// Compares the rows (`id|a|b|c`) and the conflicts with what was written.
pub(super) fn judge(outcomes: &[Outcome], rows: &[String], conflicts: &[ConflictView]) -> Verdict {
    let mut model = Model::of(outcomes);
    let mut verdict = Verdict {
        acknowledged: outcomes.iter().filter(|outcome| outcome.is_acknowledged).count(),
        unknown: outcomes.iter().filter(|outcome| !outcome.is_acknowledged).count(),
        ..Verdict::default()
    };
    let mut present = Vec::new();
    for row in rows {
        let mut values = row.split('|');
        let id: u64 = values.next().unwrap().parse().unwrap();
        present.extend(
            COLUMNS
                .into_iter()
                .zip(values)
                .map(|(column, value)| (id, column, value.to_owned(), "visible")),
        );
    }
    verdict.visible = present.len();
    for conflict in conflicts {
        let column = conflict.column.as_deref();
        let Some(column) = COLUMNS.into_iter().find(|known| Some(*known) == column) else {
            continue;
        };
        let SqlValue::Text(value) = &conflict.lost.value.0 else { continue };
        present.push((row_of(&conflict.key), column, value.clone(), "listed"));
    }
    verdict.listed = present.len() - verdict.visible;

    let mut found = BTreeSet::new();
    for (row, column, value, _) in &present {
        let (writer, before) = halves(value);
        found.insert((*row, *column, writer.to_owned()));
        model.overwritten.insert((*row, *column, before.to_owned()));
    }
    for (row, column, value, how) in &present {
        let cell = (*row, *column, halves(value).0.to_owned());
        if !model.written.contains(&cell) {
            verdict.wrong.push(format!("{cell:?} is {how} and was never written"));
        }
        if model.overwritten.contains(&cell) {
            verdict.wrong.push(format!("{cell:?} is {how} although it was overwritten"));
        }
    }
    for cell in &model.acknowledged {
        if found.contains(cell) || model.overwritten.contains(cell) {
            continue;
        }
        if model.is_excused(cell, &found) {
            verdict.excused += 1;
        } else {
            verdict.wrong.push(format!("{cell:?} was acknowledged and is nowhere"));
        }
    }
    verdict
}
