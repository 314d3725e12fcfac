use std::fmt;

/// Something that another program did to a replicated table, and that is not replicated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oddity {
    /// The table.
    pub table: String,
    /// What is odd about it, and what would mend it.
    pub what: String,
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.table, self.what)
    }
}
