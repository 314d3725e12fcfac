//! Whether the database is sound, where nobody has opened it.

use std::path::Path;

use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, query_scalar};

use crate::TablesError;
use crate::error::{primary_code, sqlite_code};
use crate::open::{APPLICATION_ID, SCHEMA_NEWEST, reader_options, schema_of};

/// What the file of a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// There is none.
    Absent,
    /// Every page of it was looked at, and nothing was found.
    Sound,
    /// A newer program has written it.
    Newer {
        /// Its schema.
        theirs: u32,
        /// The newest that this program knows.
        ours: u32,
    },
    /// It is damaged, or not a database of replicated tables.
    Damaged {
        /// What was found first.
        detail: String,
    },
}

/// Looks at every page of the database at `path` without opening it for use: nothing in it is changed.
///
/// # Errors
/// [`TablesError`] when it cannot be read at all, for lack of permission for one.
pub async fn examine(path: &Path) -> Result<Health, TablesError> {
    // An empty file is a creation that was cut short; the next start goes on with it.
    if path.metadata().map_or(!path.exists(), |found| found.len() == 0) {
        return Ok(Health::Absent);
    }
    let examined = async {
        let mut conn = reader_options(path).connect().await?;
        let health = check(&mut conn).await?;
        conn.close().await?;
        Ok::<Health, sqlx::Error>(health)
    };
    match examined.await {
        Ok(health) => Ok(health),
        Err(error)
            if matches!(primary_code(&error), Some(sqlite_code::CORRUPT | sqlite_code::NOTADB)) =>
        {
            Ok(Health::Damaged { detail: error.to_string() })
        }
        Err(error) => Err(error.into()),
    }
}

async fn check(conn: &mut SqliteConnection) -> Result<Health, sqlx::Error> {
    let verdict: String = query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *conn).await?;
    if verdict != "ok" {
        return Ok(Health::Damaged { detail: verdict });
    }
    let application: i64 = query_scalar("PRAGMA application_id").fetch_one(&mut *conn).await?;
    let schema = schema_of(conn).await?;
    if application != APPLICATION_ID && (application != 0 || schema.is_none()) {
        let detail = String::from("it is a database of another program");
        return Ok(Health::Damaged { detail });
    }
    let ours = SCHEMA_NEWEST;
    Ok(match schema {
        Some(theirs) if theirs > ours => Health::Newer { theirs, ours },
        Some(_) | None => Health::Sound,
    })
}
