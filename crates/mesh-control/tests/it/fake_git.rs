//! What the fake agent says of git.

use mesh_control::{ApiError, GitApi, GitQuery, GitTunnel};
use mesh_protocol::{GitEnd, GitPiece, GitPieces};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::FakeAgent;

impl GitApi for FakeAgent {
    /// A service that repeats what it was told, once it has all of it. In the repository `lost` its
    /// last piece stays half.
    async fn git(&self, query: GitQuery) -> Result<GitTunnel, ApiError> {
        let (near, mut far) = duplex(1 << 20);
        let (ended, _unheard) = oneshot::channel();
        let is_lost = query.repository == "lost";
        let tunnel = GitTunnel { stream: Box::new(near), ended };
        let tunnel = self.answer(
            format!("git {} {} {}", query.peer, query.repository, query.service.as_str()),
            tunnel,
        )?;
        let service = async move {
            let (mut told, mut pieces) = (Vec::new(), GitPieces::default());
            loop {
                match pieces.next().unwrap() {
                    Some(GitPiece::End(_)) => break,
                    Some(GitPiece::Output(bytes) | GitPiece::Complaint(bytes)) => {
                        told.extend(bytes)
                    }
                    None => {
                        let mut bytes = [0; 4096];
                        let read = far.read(&mut bytes).await.unwrap();
                        if read == 0 {
                            return;
                        }
                        pieces.feed(&bytes[..read]);
                    }
                }
            }
            let mut said = Vec::new();
            GitPiece::Complaint(b"well".to_vec()).encode(&mut said);
            GitPiece::Output(told).encode(&mut said);
            GitPiece::End(GitEnd { code: 3, reason: String::new() }).encode(&mut said);
            let whole = said.len();
            far.write_all(&said[..if is_lost { whole - 1 } else { whole }]).await.unwrap();
        };
        drop(TaskTracker::new().spawn(service));
        Ok(tunnel)
    }
}
