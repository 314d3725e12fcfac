//! Git over the local admin API.

use mesh_control::{ApiError, GitApi, GitQuery, GitTunnel};

use crate::node::Node;

impl GitApi for Node {
    async fn git(&self, query: GitQuery) -> Result<GitTunnel, ApiError> {
        let (stream, ended) = self.shared.open_git(query).await?;
        Ok(GitTunnel { stream: Box::new(stream), ended })
    }
}
