//! Whether a database is sound: one that is in use, and one that nobody has opened.

use std::path::Path;

use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, query_scalar};

use crate::error::is_corrupt;
use crate::open::{SCHEMA_NEWEST, reader_options};
use crate::{Store, StoreError};

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
    /// It is damaged, or no database at all.
    Damaged {
        /// What SQLite found first.
        detail: String,
    },
}

impl Store {
    /// Looks at every page of the database while it is in use. Reads it whole, so it takes a while with a
    /// large one; others go on reading and writing.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read at all.
    pub async fn quick_check(&self) -> Result<Health, StoreError> {
        let checked = self.read(|conn| Box::pin(async move { Ok(check(conn).await?) })).await;
        match checked {
            Err(StoreError::Database { source }) if is_corrupt(&source) => {
                Ok(Health::Damaged { detail: source.to_string() })
            }
            checked => checked,
        }
    }
}

/// Looks at the database at `path` without opening it for use: nothing in it is changed.
///
/// # Errors
/// [`StoreError`] when it cannot be read at all, for lack of permission for one.
pub async fn examine(path: &Path) -> Result<Health, StoreError> {
    if !path.exists() {
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
        Err(error) if is_corrupt(&error) => Ok(Health::Damaged { detail: error.to_string() }),
        Err(error) => Err(error.into()),
    }
}

async fn check(conn: &mut SqliteConnection) -> Result<Health, sqlx::Error> {
    let verdict: String = query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *conn).await?;
    if verdict != "ok" {
        return Ok(Health::Damaged { detail: verdict });
    }
    let has_history: i64 =
        query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'")
            .fetch_one(&mut *conn)
            .await?;
    if has_history == 0 {
        return Ok(Health::Sound);
    }
    let theirs: Option<i64> =
        query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(conn).await?;
    let theirs = u32::try_from(theirs.unwrap_or(0)).unwrap_or(u32::MAX);
    let ours = SCHEMA_NEWEST;
    Ok(if theirs > ours { Health::Newer { theirs, ours } } else { Health::Sound })
}
