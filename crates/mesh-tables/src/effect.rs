//! What readers saw of a transaction of another database, where that is less than what the transaction says.
//!
//! It has the form of a transaction's part that says only what became visible, without a header's news.

use mesh_protocol::{
    CellWrite, HybridClock, RowChange, Section, TransactionHeader, TransactionPart,
};

use crate::TablesError;
use crate::rows::{PlannedRow, Visible};

/// What became visible of one part.
#[derive(Debug, Default)]
pub(crate) struct Effect {
    sections: Vec<Section>,
    /// Something in it was not, or not entirely, to be seen.
    differs: bool,
}

impl Effect {
    /// The following changes are of this section.
    pub(crate) fn begin(&mut self, section: &Section) {
        let Section { table, columns, changes: _, listed: _ } = section;
        let (changes, listed) = (Vec::new(), Vec::new());
        let (table, columns) = (*table, columns.clone());
        self.sections.push(Section { table, columns, changes, listed });
    }

    /// The section, all of it, had no effect.
    pub(crate) const fn skip(&mut self) {
        self.differs = true;
    }

    /// Adds what became visible of one change.
    pub(crate) fn add(&mut self, change: RowChange, row: &PlannedRow) {
        let seen = seen(change, row);
        self.differs |= !seen.is_whole;
        if let (Some(section), Some(change)) = (self.sections.last_mut(), seen.change) {
            section.changes.push(change);
        }
    }

    /// For the log: none when readers saw what `part` says. `clock` is the transaction's.
    pub(crate) fn encode(
        self,
        part: &TransactionPart,
        clock: HybridClock,
    ) -> Result<Option<Vec<u8>>, TablesError> {
        if !self.differs {
            return Ok(None);
        }
        let header =
            (part.part == 0).then(|| TransactionHeader { clock, ..TransactionHeader::default() });
        let sections = self.sections.into_iter().filter(|section| !section.changes.is_empty());
        let sections = sections.collect();
        let TransactionPart { dot, part, is_last, .. } = *part;
        let seen = TransactionPart { dot, part, is_last, header, sections };
        let bytes = seen.encode().map_err(|_| TablesError::Malformed { what: "effect" })?;
        Ok(Some(bytes))
    }
}

struct Seen {
    change: Option<RowChange>,
    is_whole: bool,
}

fn seen(change: RowChange, row: &PlannedRow) -> Seen {
    let is_whole = row.plan.write.len() == row.values.len();
    match (change, row.visible()) {
        (_, Visible::Nothing) => Seen { change: None, is_whole: false },
        (change @ RowChange::Delete { .. }, Visible::Death) => {
            Seen { change: Some(change), is_whole: true }
        }
        (change @ (RowChange::Put { .. } | RowChange::Edit { .. }), _) if is_whole => {
            Seen { change: Some(change), is_whole: true }
        }
        (RowChange::Put { key, life, clock, values }, _) => {
            let values = values.into_iter().enumerate();
            let cells = values.filter(|(index, _)| row.plan.write.contains(index));
            let cells = cells.filter_map(|(index, value)| {
                let column = u16::try_from(index).ok()?;
                Some(CellWrite { column, clock, value })
            });
            let cells = cells.collect();
            Seen { change: Some(RowChange::Edit { key, life, cells }), is_whole: false }
        }
        (RowChange::Edit { key, life, cells }, _) => {
            let cells = cells.into_iter().enumerate();
            let cells = cells.filter(|(index, _)| row.plan.write.contains(index));
            let cells = cells.map(|(_, cell)| cell).collect();
            Seen { change: Some(RowChange::Edit { key, life, cells }), is_whole: false }
        }
        (change @ RowChange::Delete { .. }, Visible::Birth | Visible::Edit) => {
            Seen { change: Some(change), is_whole: true }
        }
    }
}
