use std::fmt;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use mesh_protocol::{GitPiece, GitPieces};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};

use super::http::{self, Call, encode, protocol};
use super::{ControlClient, WAIT_DEFAULT};
use crate::limits::GIT_UPGRADE;
use crate::{ClientError, GitQuery};

const BUFFER_BYTES: usize = 64 << 10;

/// One of git's services at work in a member's repository.
pub struct GitConnection {
    /// What the service is told.
    pub input: GitInput,
    /// What the service says.
    pub output: GitOutput,
}

impl fmt::Debug for GitConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitConnection").finish_non_exhaustive()
    }
}

/// What one of git's services is told. Dropped together with what it says, it is ended.
#[derive(Debug)]
pub struct GitInput {
    writer: WriteHalf<TokioIo<Upgraded>>,
    buffer: Vec<u8>,
}

impl GitInput {
    /// Tells the service bytes, or by an end that there are no more. An error is no news: why the service does not
    /// listen is in what it says.
    ///
    /// # Errors
    /// [`ClientError::Lost`] when the agent was lost.
    pub async fn send(&mut self, piece: &GitPiece) -> Result<(), ClientError> {
        self.buffer.clear();
        piece.encode(&mut self.buffer);
        let sent = self.writer.write_all(&self.buffer).await;
        sent.map_err(|error| ClientError::Lost { source: Some(Box::new(error)) })
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
        Ok(GitConnection { input: GitInput { writer, buffer: Vec::new() }, output })
    }
}
