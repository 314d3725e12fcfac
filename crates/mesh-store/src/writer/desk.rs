//! The writing connection with what goes with it.

use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, Either, Executor as _, SqliteConnection, query_with};

use crate::columns::Value;
use crate::query::{arguments, execute};
use crate::statements::statements;
use crate::writer::{State, Step, StepKind};
use crate::{StoreConfig, StoreError};

/// Steps that go to SQLite's thread together with their transaction, as one text. Each such text is
/// compiled once and kept, so there must be neither many nor large ones.
const STEPS_AT_ONCE_MAX: usize = 4;

/// Values of such steps; an insert of many rows has more.
const VALUES_AT_ONCE_MAX: usize = 48;

statements! {
    BEGIN = "BEGIN IMMEDIATE";
    COMMIT = "COMMIT";
    ROLLBACK = "ROLLBACK";
    SET_COUNTERS = "UPDATE counters SET outbox_sequence = ?, inbox_id = ? WHERE id = 1";
}

/// Notes which numbers may have been given out.
pub(super) fn counters_step(sequence: u64, inbox_id: u64) -> Step {
    let values = vec![Value::count(sequence), Value::count(inbox_id)];
    Step { kind: StepKind::Other, sql: SET_COUNTERS, values }
}

/// What a step did.
#[derive(Default)]
pub(crate) struct StepResult {
    pub(crate) kind: StepKind,
    pub(crate) rows: Vec<SqliteRow>,
    pub(crate) changes: u64,
}

/// The writing connection, the state that is true for it, and the bounds.
pub(crate) struct Desk {
    pub(crate) conn: SqliteConnection,
    pub(crate) state: State,
    pub(crate) config: StoreConfig,
    /// Secrets were destroyed in the database and still lie in the WAL.
    pub(crate) is_wal_tainted: bool,
}

impl Desk {
    pub(crate) const fn new(conn: SqliteConnection, state: State, config: StoreConfig) -> Self {
        Self { conn, state, config, is_wal_tainted: false }
    }

    /// Runs `work` in a transaction. When it fails, neither the database nor the state has changed.
    pub(crate) async fn transaction<T, F>(&mut self, work: F) -> Result<T, StoreError>
    where
        F: for<'d> FnOnce(&'d mut Self) -> BoxFuture<'d, Result<T, StoreError>>,
    {
        let before = self.state.clone();
        let result = match execute(&mut self.conn, BEGIN, []).await {
            Ok(_) => work(self).await,
            Err(error) => Err(error),
        };
        let result = match result {
            Ok(value) => execute(&mut self.conn, COMMIT, []).await.map(|_| value),
            Err(error) => Err(error),
        };
        if result.is_err() {
            self.roll_back().await;
            self.state = before;
        }
        result
    }

    /// Runs `steps` in one transaction; the result has one entry per step, in order.
    ///
    /// Each trip to SQLite's thread costs about a tenth of a commit, so a single step commits by
    /// itself and a few steps travel as one text.
    pub(super) async fn run_steps(
        &mut self,
        steps: Vec<Step>,
    ) -> Result<Vec<StepResult>, StoreError> {
        let values: usize = steps.iter().map(|step| step.values.len()).sum();
        let results = match steps.len() {
            0 => return Ok(Vec::new()),
            1 => self.run_alone(steps).await,
            2..=STEPS_AT_ONCE_MAX if values <= VALUES_AT_ONCE_MAX => self.run_at_once(steps).await,
            _ => self.run_in_turn(steps).await,
        };
        if results.is_err() {
            self.roll_back().await;
        }
        results
    }

    async fn run_alone(&mut self, steps: Vec<Step>) -> Result<Vec<StepResult>, StoreError> {
        let mut results = Vec::with_capacity(steps.len());
        for step in steps {
            let mut result = StepResult { kind: step.kind, ..StepResult::default() };
            let query = query_with(step.sql, arguments(step.values)?);
            let mut answers = self.conn.fetch_many(query);
            while let Some(answer) = answers.try_next().await? {
                match answer {
                    Either::Left(done) => result.changes = done.rows_affected(),
                    Either::Right(row) => result.rows.push(row),
                }
            }
            results.push(result);
        }
        Ok(results)
    }

    async fn run_in_turn(&mut self, steps: Vec<Step>) -> Result<Vec<StepResult>, StoreError> {
        execute(&mut self.conn, BEGIN, []).await?;
        let results = self.run_alone(steps).await?;
        execute(&mut self.conn, COMMIT, []).await?;
        Ok(results)
    }

    async fn run_at_once(&mut self, steps: Vec<Step>) -> Result<Vec<StepResult>, StoreError> {
        let mut sql = format!("{BEGIN};");
        let mut results = Vec::with_capacity(steps.len());
        let mut values = Vec::new();
        for step in steps {
            sql.push_str(step.sql);
            sql.push(';');
            values.extend(step.values);
            results.push(StepResult { kind: step.kind, ..StepResult::default() });
        }
        sql.push_str(COMMIT);
        // Only the constants of this crate were joined; every value is bound.
        let query = query_with(sqlx::AssertSqlSafe(sql), arguments(values)?);
        let mut answers = self.conn.fetch_many(query);
        // Statement 0 is BEGIN; the one behind the last step is COMMIT.
        let mut statement = 0_usize;
        while let Some(answer) = answers.try_next().await? {
            let result = statement.checked_sub(1).and_then(|index| results.get_mut(index));
            match answer {
                Either::Left(done) => {
                    statement += 1;
                    if let Some(result) = result {
                        result.changes = done.rows_affected();
                    }
                }
                Either::Right(row) => {
                    if let Some(result) = result {
                        result.rows.push(row);
                    }
                }
            }
        }
        Ok(results)
    }

    /// Ends a transaction that failed; when it ended by itself, there is nothing to do.
    async fn roll_back(&mut self) {
        if let Err(error) = execute(&mut self.conn, ROLLBACK, []).await {
            tracing::debug!(%error, "nothing to roll back");
        }
    }

    /// Notes, within a transaction, that numbers up to these may have been given out.
    pub(crate) async fn note_numbers(
        &mut self,
        sequence: u64,
        inbox_id: u64,
    ) -> Result<(), StoreError> {
        let step = counters_step(sequence, inbox_id);
        execute(&mut self.conn, step.sql, step.values).await?;
        self.state.set_noted(sequence, inbox_id);
        Ok(())
    }

    /// Lets the next start number on without a gap.
    pub(super) async fn note_counters(&mut self) -> Result<(), StoreError> {
        let (sequence, inbox_id) = self.state.exact_notes();
        let step = counters_step(sequence, inbox_id);
        execute(&mut self.conn, step.sql, step.values).await.map(drop)
    }

    pub(super) async fn close(self) -> Result<(), StoreError> {
        Ok(self.conn.close().await?)
    }
}
