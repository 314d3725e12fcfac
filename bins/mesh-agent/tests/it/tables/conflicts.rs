//! Writes that knew nothing of each other: both are kept where they can be, and nothing is lost silently.

use mesh_control::{ConflictRestore, ConflictView};
use mesh_protocol::SqlValue;

use super::desk::{LONG, NOTES, equal};
use crate::agent::{Agent, eventually, mesh};

const ALL: &str = "SELECT * FROM notes ORDER BY id";

/// Three agents with the same row, the third one for looking on.
async fn one_row(dir: &std::path::Path) -> [Agent; 3] {
    let agents = mesh(dir, ["one", "two", "three"]).await;
    agents[0].create(NOTES).await;
    agents[0].write("INSERT INTO notes VALUES (1, 'title', 'body')").await;
    for agent in &agents {
        agent.shows(ALL, &["1|title|body"]).await;
    }
    agents
}

/// `there` is written while the agent two is frozen and cannot know `here`, which is written on one.
async fn at_the_same_time(agents: &[Agent; 3], here: &str, there: &str) {
    let [one, two, _] = agents;
    two.freeze_between_writes().await;
    one.write(here).await;
    two.write_past(there).await;
    two.thaw();
    equal(&agents.each_ref()).await;
    two.write("INSERT INTO notes (id) VALUES (99)").await;
    one.shows("SELECT count(*) FROM notes WHERE id = 99", &["1"]).await;
    two.write("DELETE FROM notes WHERE id = 99").await;
    equal(&agents.each_ref()).await;
}

/// One and two write the title of the row, each without knowing of the other.
async fn one_title_each(agents: &[Agent; 3]) {
    let here = "UPDATE notes SET title = 'from one' WHERE id = 1";
    at_the_same_time(agents, here, "UPDATE notes SET title = 'from two' WHERE id = 1").await;
}

/// The only conflict, which all agents list alike.
async fn the_conflict(agents: &[Agent; 3]) -> ConflictView {
    let mut listed = Vec::new();
    for agent in agents {
        let [conflict] = <[ConflictView; 1]>::try_from(agent.conflicts().await).unwrap();
        listed.push(conflict);
    }
    assert_eq!(listed[0], listed[1]);
    assert_eq!(listed[0], listed[2]);
    listed.swap_remove(0)
}

async fn restored(agents: &[Agent; 3], by: &Agent, id: &str) {
    by.client().conflict_restore(&ConflictRestore { id: id.to_owned() }).await.unwrap();
    for agent in agents {
        eventually(LONG, "the conflict is settled", async || {
            agent.conflicts().await.is_empty().then_some(())
        })
        .await;
    }
    equal(&agents.each_ref()).await;
}

fn text(value: &SqlValue) -> &str {
    let SqlValue::Text(text) = value else { panic!("{value:?} is no text") };
    text
}

#[tokio::test]
async fn two_columns_of_a_row_edited_at_the_same_time_are_both_kept() {
    let dir = tempfile::tempdir().unwrap();
    let agents = one_row(dir.path()).await;
    at_the_same_time(
        &agents,
        "UPDATE notes SET title = 'from one' WHERE id = 1",
        "UPDATE notes SET body = 'from two' WHERE id = 1",
    )
    .await;
    for agent in &agents {
        assert_eq!(agent.rows(ALL).await, ["1|from one|from two"]);
        assert!(agent.conflicts().await.is_empty());
    }
}

#[tokio::test]
async fn of_two_edits_of_a_column_one_wins_everywhere_and_the_other_can_be_brought_back() {
    let dir = tempfile::tempdir().unwrap();
    let agents = one_row(dir.path()).await;
    one_title_each(&agents).await;
    let conflict = the_conflict(&agents).await;
    assert_eq!(conflict.column.as_deref(), Some("title"));
    let kept = text(&conflict.kept.value.0).to_owned();
    let lost = text(&conflict.lost.value.0).to_owned();
    let mut both = [kept.as_str(), lost.as_str()];
    both.sort_unstable();
    assert_eq!(both, ["from one", "from two"]);
    assert_eq!(conflict.lost.by, lost.strip_prefix("from ").unwrap());
    for agent in &agents {
        assert_eq!(agent.rows(ALL).await, [format!("1|{kept}|body")]);
    }
    // By the agent that wrote neither, with the digits that a human would type.
    restored(&agents, &agents[2], &conflict.id[..8]).await;
    for agent in &agents {
        assert_eq!(agent.rows(ALL).await, [format!("1|{lost}|body")]);
    }
}

/// The database of a member that was removed is told by nobody any more, nor is one that took another name.
#[tokio::test]
async fn a_newcomer_knows_who_wrote_what_lost_though_the_writer_has_left() {
    let dir = tempfile::tempdir().unwrap();
    let agents = one_row(dir.path()).await;
    one_title_each(&agents).await;
    let loser = the_conflict(&agents).await.lost.by;
    let [one, two, three] = &agents;
    let writer = if loser == "one" { one } else { two };
    let id = writer.client().status().await.unwrap().peer_id.to_string();
    three.remove(&loser).await;
    let new = Agent::start(dir.path(), "new").await;
    new.join(&three.token().await).await.unwrap();
    eventually(LONG, "the newcomer knows who wrote it", async || {
        let conflicts = new.conflicts().await;
        (conflicts.first()?.lost.by == id).then_some(())
    })
    .await;
    assert_eq!(three.conflicts().await, new.conflicts().await);
}

#[tokio::test]
async fn an_edit_that_knew_nothing_of_a_deletion_is_listed_and_can_be_brought_back() {
    let dir = tempfile::tempdir().unwrap();
    let agents = one_row(dir.path()).await;
    at_the_same_time(
        &agents,
        "DELETE FROM notes WHERE id = 1",
        "UPDATE notes SET title = 'still wanted' WHERE id = 1",
    )
    .await;
    let conflict = the_conflict(&agents).await;
    assert!(conflict.kept.deleted, "{conflict:?}");
    assert_eq!(text(&conflict.lost.value.0), "still wanted");
    for agent in &agents {
        assert!(agent.rows(ALL).await.is_empty());
    }
    restored(&agents, &agents[0], &conflict.id).await;
    for agent in &agents {
        let titles = agent.rows("SELECT title FROM notes WHERE id = 1").await;
        assert_eq!(titles, ["still wanted"]);
    }
}

#[tokio::test]
async fn a_row_deleted_and_made_again_here_stands_against_an_edit_of_the_old_one_there() {
    let dir = tempfile::tempdir().unwrap();
    let agents = one_row(dir.path()).await;
    let [one, two, _] = &agents;
    two.freeze_between_writes().await;
    one.write("DELETE FROM notes WHERE id = 1").await;
    one.write("INSERT INTO notes VALUES (1, 'new', 'new')").await;
    two.write_past("UPDATE notes SET body = 'edited' WHERE id = 1").await;
    two.thaw();
    eventually(LONG, "the edit is listed", async || {
        (one.conflicts().await.len() == 1).then_some(())
    })
    .await;
    equal(&agents.each_ref()).await;
    let conflict = the_conflict(&agents).await;
    assert_eq!(text(&conflict.lost.value.0), "edited");
    for agent in &agents {
        assert_eq!(agent.rows(ALL).await, ["1|new|new"]);
    }
}

#[tokio::test]
async fn a_key_changed_on_both_sides_ends_as_two_rows_and_no_third() {
    let dir = tempfile::tempdir().unwrap();
    let agents = one_row(dir.path()).await;
    at_the_same_time(
        &agents,
        "UPDATE notes SET id = 2 WHERE id = 1",
        "UPDATE notes SET id = 3 WHERE id = 1",
    )
    .await;
    for agent in &agents {
        assert_eq!(agent.rows(ALL).await, ["2|title|body", "3|title|body"]);
    }
}

#[tokio::test]
async fn rows_replaced_on_both_sides_agree_and_list_what_lost() {
    let dir = tempfile::tempdir().unwrap();
    let agents = one_row(dir.path()).await;
    at_the_same_time(
        &agents,
        "INSERT OR REPLACE INTO notes VALUES (1, 'one', 'one')",
        "INSERT OR REPLACE INTO notes VALUES (1, 'two', 'two')",
    )
    .await;
    let rows = agents[0].rows(ALL).await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    let lost = if row == "1|one|one" { "two" } else { "one" };
    for agent in &agents {
        let conflicts = agent.conflicts().await;
        let columns: Vec<_> = conflicts.iter().map(|one| one.column.as_deref()).collect();
        assert_eq!(columns.len(), 2, "{conflicts:?}");
        assert!(conflicts.iter().all(|one| text(&one.lost.value.0) == lost), "{conflicts:?}");
    }
}
