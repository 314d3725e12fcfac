use std::fmt;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use mesh_protocol::{GitPiece, GitPieces};
use tokio::io::{AsyncReadExt as _, AsyncWrite, ReadHalf, split};

use super::http::{self, Call, encode, protocol};
use super::{ControlClient, WAIT_DEFAULT};
use crate::limits::GIT_UPGRADE;
use crate::{ClientError, GitQuery};

const BUFFER_BYTES: usize = 64 << 10;

/// One of git's services at work in a member's repository.
pub struct GitConnection {
    /// Takes bytes for the service, which sees their end when it is shut down.
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    /// What the service says.
    pub output: GitOutput,
}

impl fmt::Debug for GitConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitConnection").finish_non_exhaustive()
    }
}

/// What one of git's services says.
#[derive(Debug)]
pub struct GitOutput {
    reader: ReadHalf<TokioIo<Upgraded>>,
    pieces: GitPieces,
    buffer: Vec<u8>,
}

impl GitOutput {
    /// The next piece. The last one is the end.
    ///
    /// # Errors
    /// [`ClientError`] when the agent was lost before the end.
    pub async fn next(&mut self) -> Result<GitPiece, ClientError> {
        loop {
            let whole = self.pieces.next();
            if let Some(piece) = whole.map_err(|error| protocol("pieces of git", error))? {
                return Ok(piece);
            }
            let read = self.reader.read(&mut self.buffer).await;
            match read.map_err(|error| ClientError::Lost { source: Some(Box::new(error)) })? {
                0 => return Err(ClientError::Lost { source: None }),
                bytes => self.pieces.feed(self.buffer.get(..bytes).unwrap_or_default()),
            }
        }
    }
}

impl ControlClient {
    /// Begins one of git's services in a member's repository.
    ///
    /// # Errors
    /// [`ClientError`]; the service does not run then.
    pub async fn git(&self, query: &GitQuery) -> Result<GitConnection, ClientError> {
        let GitQuery { peer, repository, service } = query;
        let (peer, repository) = (encode(peer), encode(repository));
        let path =
            format!("/v1/git?peer={peer}&repository={repository}&service={}", service.as_str());
        let call = Call::bare_post(path);
        let upgraded = http::upgrade(&self.path, call, GIT_UPGRADE, WAIT_DEFAULT).await?;
        let (reader, writer) = split(TokioIo::new(upgraded));
        let output =
            GitOutput { reader, pieces: GitPieces::default(), buffer: vec![0; BUFFER_BYTES] };
        Ok(GitConnection { input: Box::new(writer), output })
    }
}
