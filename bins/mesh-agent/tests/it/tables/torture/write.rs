//! Writes that say what they overwrote: the value of a cell is `wN<wM`, the write that put it there and the
//! one whose value it replaced. So it can be told at the end whether a write that is not to be seen any more
//! was overwritten by one that knew it.

/// Columns beside the key.
pub(super) const COLUMNS: [&str; 3] = ["a", "b", "c"];

pub(super) const TABLE: &str =
    "CREATE TABLE cells (id INTEGER PRIMARY KEY, a TEXT, b TEXT, c TEXT)";

/// Numbers that look drawn, the same for the same seed.
#[derive(Clone, Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Insert,
    Update,
    Delete,
    Upsert,
    Replace,
}

/// One write, made or not.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) no: u64,
    pub(super) kind: Kind,
    pub(super) row: u64,
    pub(super) sql: String,
}

/// Who wrote the value of a cell, in SQL.
fn writer_of(column: &str) -> String {
    format!("coalesce(substr({column}, 1, instr({column} || '<', '<') - 1), '-')")
}

impl Write {
    pub(super) fn draw(no: u64, rows: u64, dice: &mut Dice) -> Self {
        // Half of the writes meet each other on few rows.
        let row = if dice.below(2) == 0 { dice.below(rows) } else { dice.below(rows / 10 + 1) };
        let kind = match dice.below(100) {
            0..20 => Kind::Insert,
            20..60 => Kind::Update,
            60..70 => Kind::Delete,
            70..85 => Kind::Upsert,
            _ => Kind::Replace,
        };
        let column = COLUMNS[usize::try_from(dice.below(3)).unwrap()];
        let set = |column: &str| format!("{column} = 'w{no}<' || {}", writer_of(column));
        let fresh = format!("({row}, 'w{no}<-', 'w{no}<-', 'w{no}<-')");
        let sql = match kind {
            Kind::Insert => format!("INSERT OR IGNORE INTO cells VALUES {fresh}"),
            Kind::Update if dice.below(4) == 0 => {
                let all = COLUMNS.map(set).join(", ");
                format!("UPDATE cells SET {all} WHERE id = {row}")
            }
            Kind::Update => format!("UPDATE cells SET {} WHERE id = {row}", set(column)),
            Kind::Delete => format!("DELETE FROM cells WHERE id = {row}"),
            Kind::Upsert => {
                let set = set(column);
                format!("INSERT INTO cells VALUES {fresh} ON CONFLICT (id) DO UPDATE SET {set}")
            }
            Kind::Replace => {
                let values = COLUMNS.map(|column| {
                    let before = writer_of(column);
                    let before = format!("(SELECT {before} FROM cells WHERE id = {row})");
                    format!("'w{no}<' || coalesce({before}, '-')")
                });
                format!("INSERT OR REPLACE INTO cells SELECT {row}, {}", values.join(", "))
            }
        };
        let sql = format!("{sql} RETURNING {no} AS no, a, b, c");
        Self { no, kind, row, sql }
    }
}

/// What an acknowledged write said: the values that it left, or those of the row that it deleted. None when
/// it found nothing to write.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) write: Write,
    pub(super) is_acknowledged: bool,
    pub(super) values: Option<Vec<String>>,
}

impl Outcome {
    pub(super) const fn unknown(write: Write) -> Self {
        Self { write, is_acknowledged: false, values: None }
    }

    /// Out of the row that was returned, its first column left out.
    pub(super) const fn acknowledged(write: Write, values: Option<Vec<String>>) -> Self {
        Self { write, is_acknowledged: true, values }
    }
}
