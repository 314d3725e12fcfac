//! Git through the socket: the connection leaves HTTP and carries bytes.

use std::io;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use mesh_protocol::{GitEnd, GitPiece, GitPieces};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, copy_buf, split,
};

use super::Shared;
use crate::limits::GIT_UPGRADE;
use crate::server::reply::{Parameters, Refusal};
use crate::{ControlApi, GitQuery, GitTunnel};

const BUFFER_BYTES: usize = 64 << 10;

/// Said for a service whose end nobody knows.
const UNKNOWN_CODE: u8 = 255;

pub(super) fn routes<A: ControlApi>() -> Router<Shared<A>> {
    Router::new().route("/v1/git", post(git::<A>))
}

async fn git<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Parameters(query): Parameters<GitQuery>,
    mut request: Request,
) -> Result<Response, Refusal> {
    let wanted = request.headers().get(header::UPGRADE).map(|word| word.as_bytes().to_vec());
    let is_wanted = wanted.is_some_and(|word| word.eq_ignore_ascii_case(GIT_UPGRADE.as_bytes()));
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let Some(upgrade) = upgrade.filter(|_| is_wanted) else {
        let headers = format!("`Connection: upgrade` and `Upgrade: {GIT_UPGRADE}`");
        return Err(Refusal::bad_request(format!("this route needs the headers {headers}")));
    };
    let permit = shared.admit_follower()?;
    let tunnel = shared.api.git(query).await?;
    let shutdown = shared.shutdown.clone();
    shared.tracker.spawn(async move {
        let _held = permit;
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = carry(upgrade, tunnel) => {}
        }
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, GIT_UPGRADE)];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

/// Carries bytes both ways until the service has ended, or one of the sides is gone.
async fn carry(upgrade: OnUpgrade, tunnel: GitTunnel) {
    // Without it the client went away before its answer came.
    let Ok(upgraded) = upgrade.await else { return };
    let GitTunnel { stream, ended } = tunnel;
    let (from_client, to_client) = split(TokioIo::new(upgraded));
    let (from_peer, mut to_peer) = split(stream);
    let asking = async {
        let mut from_client = BufReader::with_capacity(BUFFER_BYTES, from_client);
        if let Err(error) = copy_buf(&mut from_client, &mut to_peer).await {
            tracing::debug!(%error, "git has nobody to talk to");
            // Whatever is wrong with the peer, its direction says it.
            std::future::pending::<()>().await;
        }
        // A client that has said everything says so in a piece: this one is gone.
    };
    tokio::select! {
        answered = answer(from_peer, to_client) => match answered {
            Ok(end) => drop(ended.send(end)),
            Err(error) => tracing::debug!(%error, "a git client went away"),
        },
        () = asking => {}
    }
}

/// Hands on what the service says, piece by piece, so that an end can be put behind a whole one when the
/// peer is lost.
async fn answer(
    mut from_peer: impl AsyncRead + Unpin,
    mut to_client: impl AsyncWrite + Unpin,
) -> io::Result<GitEnd> {
    let mut pieces = GitPieces::default();
    let mut incoming = vec![0; BUFFER_BYTES];
    let mut outgoing = Vec::new();
    loop {
        let mut end = hand_on(&mut pieces, &mut outgoing);
        if end.is_none() {
            to_client.write_all(&outgoing).await?;
            outgoing.clear();
            let lost = |reason: String| Some(GitEnd { code: UNKNOWN_CODE, reason });
            end = match from_peer.read(&mut incoming).await {
                Ok(0) => lost(String::from("the peer ended the stream without saying how")),
                Ok(bytes) => {
                    pieces.feed(incoming.get(..bytes).unwrap_or_default());
                    None
                }
                Err(error) => lost(error.to_string()),
            };
            if let Some(end) = &end {
                GitPiece::End(end.clone()).encode(&mut outgoing);
            }
        }
        if let Some(end) = end {
            to_client.write_all(&outgoing).await?;
            to_client.shutdown().await?;
            return Ok(end);
        }
    }
}

/// Every piece that is whole; the end, when it is among them.
fn hand_on(pieces: &mut GitPieces, outgoing: &mut Vec<u8>) -> Option<GitEnd> {
    loop {
        let piece = match pieces.next() {
            Ok(piece) => piece?,
            Err(error) => GitPiece::End(GitEnd { code: UNKNOWN_CODE, reason: error.to_string() }),
        };
        piece.encode(outgoing);
        if let GitPiece::End(end) = piece {
            return Some(end);
        }
    }
}
