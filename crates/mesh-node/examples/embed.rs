//! Two members in one program: found, join, send, receive, acknowledge, share a table.
//!
//! Run it with `cargo run -p mesh-node --example embed`.

use std::time::Duration;

use mesh_node::{
    CustomJson, FeedItem, Filter, JsonText, Node, Outgoing, Payload, SqlValue, Statement, Target,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let local = "127.0.0.1:0".parse()?;

    // The first node founds a mesh of one. Nothing needs to be configured; the address is only
    // named so that both can run on one machine.
    let baulder = Node::builder(dir.path().join("baulder"))
        .hostname("baulder".parse()?)
        .listen(local)
        .start()
        .await?;

    // The second one joins with a single-use token.
    let mint = Node::builder(dir.path().join("mint"))
        .hostname("mint".parse()?)
        .listen(local)
        .start()
        .await?;
    let token = baulder.create_token(None, "for mint").await?;
    let joined = mint.join(&token.text).await?;
    say(&format!("mint joined a mesh of {} members", joined.members));

    // A handler runs in tasks of its own: if it is slow or panics, nobody else notices.
    baulder.on_message(Filter::AppType("audit".into()), |_message| async { true });

    // A durable message is on disk here when `send` returns and on disk there when it is acked.
    let data = JsonText::parse(r#"{"build": 42, "green": true}"#)?;
    let payload = Payload::CustomJson(CustomJson { app_type: "ci".into(), data });
    let mut message = Outgoing::new(Target::Name("baulder".into()), payload);
    message.seal = true;
    let sent = mint.send(message).await?;
    for report in sent.wait(Duration::from_secs(5)).await {
        say(&format!("{}: {:?}", report.peer.short(), report.outcome));
    }

    // What was received stays in the inbox, over a restart too, until it is acknowledged.
    let mut inbox = baulder.subscribe(Filter::AppType("ci".into()));
    if let Some(received) = inbox.next().await {
        if let Payload::CustomJson(custom) = &received.message.payload {
            say(&format!("{} says {}", received.from_hostname, custom.data.as_str()));
        }
        inbox.ack(received.message.message_id).await?;
    }

    // A table is the same on every member, each of which writes its own copy, linked or not.
    mint.create_table("CREATE TABLE ports (name TEXT NOT NULL PRIMARY KEY, port INTEGER)").await?;
    let mut changes = baulder.changes(None, None).await?;
    let insert = "INSERT INTO ports VALUES (?1, ?2)".to_owned();
    let params = vec![SqlValue::Text("web".into()), SqlValue::Integer(80)];
    mint.execute(vec![Statement { sql: insert, params }]).await?;
    if let Some(FeedItem::Change(change)) = changes.next().await.transpose()? {
        for (column, value) in change.key {
            if let SqlValue::Text(value) = value {
                say(&format!("baulder sees in {}: {column} = {value}", change.table));
            }
        }
    }

    for peer in baulder.peers() {
        say(&format!("{} active={} self={}", peer.hostname, peer.is_active, peer.is_self));
    }
    mint.stop().await;
    baulder.stop().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn say(line: &str) {
    println!("{line}");
}
