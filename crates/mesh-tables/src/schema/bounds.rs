//! What a change of tables may be at most, so that it fits a transaction.

use mesh_protocol::{SQL_BYTES_MAX, SQL_NAME_BYTES_MAX, SchemaChange};

/// Why a change cannot travel; none when it can.
pub(crate) fn exceeds(change: &SchemaChange) -> Option<String> {
    match change {
        SchemaChange::CreateTable { name, sql, .. }
        | SchemaChange::CreateIndex { name, sql, .. } => {
            name_exceeds(name).or_else(|| sql_exceeds(sql))
        }
        SchemaChange::AddColumn { column, definition, .. } => {
            name_exceeds(column).or_else(|| sql_exceeds(definition))
        }
        SchemaChange::DropTable { name, .. } => name_exceeds(name),
    }
}

/// Why a name cannot travel; none when it can.
pub(crate) fn name_exceeds(name: &str) -> Option<String> {
    (name.len() > SQL_NAME_BYTES_MAX).then(|| {
        let begin: String = name.chars().take(20).collect();
        format!(
            "the name {begin:?}… is longer than {SQL_NAME_BYTES_MAX} bytes; choose a shorter one"
        )
    })
}

fn sql_exceeds(sql: &str) -> Option<String> {
    (sql.len() > SQL_BYTES_MAX)
        .then(|| format!("a definition is at most {SQL_BYTES_MAX} bytes long, not {}", sql.len()))
}
