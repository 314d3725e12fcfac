use clap::{Args, Subcommand};
use mesh_control::{MemberStatus, PeerView, PendingRemovalView, RemoveRequest};

use super::Context;
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::{Columns, DIM, NORMAL, ODD, ago, millis, or_dash, plain, styled};

pub(crate) const EXAMPLE: &str = "\
Examples:
  mesh-ctl peers
  mesh-ctl peers --json | jq -r '.[].hostname'
  mesh-ctl peers remove oak --reason 'sold'";

#[derive(Args)]
pub(crate) struct PeersArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Expels a member everywhere, or asks for it where others have to agree; it can come back with a new token only
    #[command(after_help = "Example:\n  mesh-ctl peers remove oak --reason 'sold'")]
    Remove {
        /// Hostname, peer id, or the first eight or more digits of it
        host: String,
        /// Why, for the other members to read
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reason: String,
    },
}

pub(crate) async fn run(args: PeersArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    match args.action {
        None => {
            let peers = patiently("asking the agent", client.peers()).await?;
            context.output.show(&peers, |peers| render(peers))?;
        }
        Some(Action::Remove { host, reason }) => {
            let request = RemoveRequest { host, reason };
            let removed = client.peer_remove(&request);
            let removed = patiently("telling the members", removed).await?;
            context.output.show(&removed, outcome)?;
        }
    }
    Ok(Exit::Done)
}

/// What asking for a removal came to.
fn outcome(peer: &PeerView) -> String {
    let hostname = plain(&peer.hostname);
    match &peer.removal {
        None => format!("{hostname} ({}) is a member no more.\n", peer.peer_id.short()),
        Some(removal) => format!(
            "{}; run `mesh-ctl peers remove {hostname}` on another member.\n",
            asked(&hostname, removal)
        ),
    }
}

/// How far a removal has come.
fn asked(hostname: &str, removal: &PendingRemovalView) -> String {
    let PendingRemovalView { asked_by, needed } = removal;
    let names = plain(&asked_by.join(", "));
    format!(
        "{hostname} stays a member: {} of {needed} members have asked for its removal ({names})",
        asked_by.len()
    )
}

/// The way to a member, in words.
fn route(peer: &PeerView) -> String {
    match peer.via.as_deref() {
        _ if peer.is_self => "-".to_owned(),
        None => "none".to_owned(),
        Some([]) => "direct".to_owned(),
        Some(between) => format!("via {}", between.join(", ")),
    }
}

/// A row per member.
pub(super) fn render(peers: &[PeerView]) -> String {
    let now = clock::now();
    let titles = [
        "HOSTNAME",
        "STATUS",
        "STATE",
        "ROUTE",
        "RTT",
        "LAST SEEN",
        "ADDRESSES",
        "VERSION",
        "PEER ID",
    ];
    let mut columns = Columns::new(titles);
    for peer in peers {
        let (style, status) = match peer.status {
            MemberStatus::Active => (NORMAL, "active"),
            MemberStatus::Inactive => (DIM, "inactive"),
        };
        let last_seen = if peer.is_self {
            "this agent".to_owned()
        } else {
            peer.last_seen_at.map_or_else(|| "never".to_owned(), |at| ago(at, now))
        };
        columns.row(
            style,
            [
                plain(&peer.hostname),
                status.to_owned(),
                peer.state.as_str().to_owned(),
                plain(&route(peer)),
                or_dash(peer.rtt_ms.map(millis)),
                last_seen,
                or_dash(Some(plain(&peer.addresses.join(" ")))),
                or_dash(Some(plain(&peer.version))),
                peer.peer_id.short(),
            ],
        );
    }
    let mut text = columns.render();
    for peer in peers {
        if let Some(removal) = &peer.removal {
            text.push_str(&styled(ODD, &asked(&plain(&peer.hostname), removal)));
            text.push_str(".\n");
        }
    }
    text
}
