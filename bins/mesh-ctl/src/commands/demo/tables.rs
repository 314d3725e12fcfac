//! A replicated table: made, written, written by two at a time, and what lost brought back.

use anyhow::{Context as _, bail, ensure};
use futures_util::future::{try_join, try_join_all};
use mesh_control::{
    ConflictQuery, ConflictRestore, ConflictView, SqlJson, SqlReply, SqlStatement, TableCreate,
    TableQuery, TransactionRequest,
};
use mesh_protocol::SqlValue;

use super::agent::Agent;
use super::report::Report;
use super::stage::Stage;
use super::wait::eventually;

const TABLE: &str = "CREATE TABLE ports (name TEXT NOT NULL PRIMARY KEY, port INTEGER)";

/// How often two agents try to write at the same time: one may hear of the other first.
const RACES_MAX: u32 = 50;

/// Plays the steps of the tables.
pub(super) async fn play(stage: &Stage, report: &mut Report<'_>) -> anyhow::Result<()> {
    report.step("a table made on baulder is on every agent", make(stage)).await?;
    report.step("a row written on mint is read on every agent", write(stage)).await?;
    let name = "mint and oak write one value at once: the same one wins";
    let lost = report.step(name, race(stage)).await?;
    report.step("the write that lost is restored, on every agent", restore(stage, &lost)).await
}

async fn make(stage: &Stage) -> anyhow::Result<()> {
    let request = TableCreate { sql: TABLE.to_owned() };
    stage.baulder.client.table_create(&request).await?;
    let has_it = async |agent: &Agent| {
        eventually(&format!("{} has the table", agent.name()), async || {
            let tables = agent.client.table_list(TableQuery { checksum: false }).await?;
            Ok(tables.iter().any(|table| table.name == "ports").then_some(()))
        })
        .await
    };
    try_join_all(stage.agents().map(has_it)).await?;
    Ok(())
}

async fn write(stage: &Stage) -> anyhow::Result<()> {
    carry_out(&stage.mint, &["INSERT INTO ports VALUES ('web', 80)"]).await?;
    all_show(stage, "web", &SqlValue::Integer(80)).await
}

/// Two agents write before either hears of the other. Each marks its transaction with a row of its own,
/// so that its arrival can be seen whoever wins.
async fn race(stage: &Stage) -> anyhow::Result<ConflictView> {
    let Stage { mint, oak, .. } = stage;
    for round in 0..RACES_MAX {
        let row = format!("race {round}");
        carry_out(mint, &[&format!("INSERT INTO ports VALUES ('{row}', 0)")]).await?;
        all_show(stage, &row, &SqlValue::Integer(0)).await?;
        let run = async |agent: &Agent, port: u16| {
            let edit = format!("UPDATE ports SET port = {port} WHERE name = '{row}'");
            let mark = format!("INSERT INTO ports VALUES ('{} {round}', {port})", agent.name());
            carry_out(agent, &[&edit, &mark]).await
        };
        try_join(run(mint, 8080), run(oak, 9090)).await?;
        for (agent, port) in [(mint, 8080), (oak, 9090)] {
            let mark = format!("{} {round}", agent.name());
            all_show(stage, &mark, &SqlValue::Integer(port)).await?;
        }
        if let Some(conflict) = same_conflict(stage).await? {
            all_show(stage, &row, &conflict.kept.value.0).await?;
            return Ok(conflict);
        }
    }
    bail!("of {RACES_MAX} pairs of writes none were made at the same time")
}

async fn restore(stage: &Stage, conflict: &ConflictView) -> anyhow::Result<()> {
    let request = ConflictRestore { id: conflict.id.clone() };
    stage.baulder.client.conflict_restore(&request).await?;
    let (_, row) = conflict.key.0.first().context("the conflict names no row")?;
    let SqlValue::Text(row) = &row.0 else { bail!("the conflict names the row {row:?}") };
    all_show(stage, row, &conflict.lost.value.0).await?;
    let left = same_conflict(stage).await?;
    ensure!(left.is_none(), "a conflict is still listed: {left:?}");
    Ok(())
}

/// Runs writes in one transaction.
async fn carry_out(agent: &Agent, statements: &[&str]) -> anyhow::Result<()> {
    let statement = |sql: &&str| SqlStatement { sql: (*sql).to_owned(), ..SqlStatement::default() };
    let statements = statements.iter().map(statement).collect();
    agent.client.transaction(&TransactionRequest { statements }).await?;
    Ok(())
}

/// Waits until every agent shows this port in this row.
async fn all_show(stage: &Stage, row: &str, port: &SqlValue) -> anyhow::Result<()> {
    let statement = SqlStatement {
        sql: "SELECT port FROM ports WHERE name = ?1".to_owned(),
        params: vec![SqlJson(SqlValue::Text(row.to_owned()))],
    };
    let shows = async |agent: &Agent| {
        let what = format!("{} shows what was written in {row:?}", agent.name());
        eventually(&what, async || {
            let SqlReply::Rows { rows, .. } = agent.client.sql(&statement).await? else {
                bail!("a query changed something");
            };
            let found = rows.first().and_then(|row| row.first());
            Ok(found.is_some_and(|found| found.0 == *port).then_some(()))
        })
        .await
    };
    try_join_all(stage.agents().map(shows)).await?;
    Ok(())
}

/// The conflict that is listed, which every agent has to list alike; none when there is none.
async fn same_conflict(stage: &Stage) -> anyhow::Result<Option<ConflictView>> {
    let list = async |agent: &Agent| agent.client.conflict_list(&ConflictQuery::default()).await;
    let lists = try_join_all(stage.agents().map(list)).await?;
    let mut conflicts = lists.first().cloned().unwrap_or_default();
    ensure!(lists.iter().all(|list| *list == conflicts), "the lists differ: {lists:?}");
    ensure!(conflicts.len() <= 1, "more than one write lost: {conflicts:?}");
    Ok(conflicts.pop())
}
