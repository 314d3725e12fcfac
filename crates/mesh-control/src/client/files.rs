use std::time::Duration;

use super::http::{self, Call, encode};
use super::{ControlClient, ControlStream, WAIT_DEFAULT, path_with};
use crate::{
    ClientError, PullRequest, PushCancel, PushDecision, PushDetail, PushRequest, PushView,
    PushesQuery, RollbackRequest, RootView,
};

/// The other member reads and hashes everything first.
const PULL_WAIT: Duration = Duration::from_hours(1);

/// Pushes of files. Every method fails with [`ClientError`].
#[expect(clippy::missing_errors_doc, reason = "one error type, described with the type")]
impl ControlClient {
    /// Begins to push files.
    pub async fn push(&self, request: &PushRequest) -> Result<PushView, ClientError> {
        self.post("/v1/push", request, WAIT_DEFAULT).await
    }

    /// Asks another member for files; answered once they are on their way.
    pub async fn pull(&self, request: &PullRequest) -> Result<PushView, ClientError> {
        self.post("/v1/pull", request, PULL_WAIT).await
    }

    /// The pushes that the agent made or is a target of, newest first.
    pub async fn pushes(&self, query: &PushesQuery) -> Result<Vec<PushView>, ClientError> {
        let limit = query.limit.map(|limit| limit.to_string());
        self.get(&path_with("/v1/pushes", [("limit", &limit)])).await
    }

    /// A push with its history.
    pub async fn push_detail(&self, id: &str) -> Result<PushDetail, ClientError> {
        self.get(&format!("/v1/pushes/{}", encode(id))).await
    }

    /// How a push stands, at once and whenever that changed, until it ended.
    pub async fn push_follow(&self, id: &str) -> Result<ControlStream<PushView>, ClientError> {
        http::follow(&self.path, Call::get(format!("/v1/pushes/{}/follow", encode(id)))).await
    }

    /// Approves or denies a push that waits for it.
    pub async fn push_decide(&self, request: &PushDecision) -> Result<PushView, ClientError> {
        self.post("/v1/pushes/decide", request, WAIT_DEFAULT).await
    }

    /// Gives up a push of the agent.
    pub async fn push_cancel(&self, request: &PushCancel) -> Result<PushView, ClientError> {
        self.post("/v1/pushes/cancel", request, WAIT_DEFAULT).await
    }

    /// Begins to bring back what was there before a push.
    pub async fn rollback(&self, request: &RollbackRequest) -> Result<PushView, ClientError> {
        self.post("/v1/rollback", request, WAIT_DEFAULT).await
    }

    /// The roots of the agent, by name.
    pub async fn roots(&self) -> Result<Vec<RootView>, ClientError> {
        self.get("/v1/roots").await
    }
}
