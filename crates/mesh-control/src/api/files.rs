use std::future::Future;

use futures_util::stream::BoxStream;

use super::ApiError;
use crate::{
    PullRequest, PushCancel, PushDecision, PushDetail, PushRequest, PushView, PushesQuery,
    RollbackRequest, RootView,
};

/// What an agent can be asked about pushes of files. Every future and stream may be dropped half-way; a
/// push that was begun goes on. An id is whole, or its first eight or more digits: fails with
/// `unknown_push` when there is none, and with `ambiguous_push` when there are several.
pub trait FilesApi: Clone + Send + Sync + 'static {
    /// Begins to push files, and answers before the first of them was read.
    fn push(&self, request: PushRequest)
    -> impl Future<Output = Result<PushView, ApiError>> + Send;

    /// Asks another member for files. Answers with the push that brings them once that is under way: they come into
    /// a folder of the agent's, which the push names as its location.
    fn pull(&self, request: PullRequest)
    -> impl Future<Output = Result<PushView, ApiError>> + Send;

    /// The pushes that this agent made or is a target of, newest first.
    fn pushes(
        &self,
        query: PushesQuery,
    ) -> impl Future<Output = Result<Vec<PushView>, ApiError>> + Send;

    /// One of them with its history.
    fn push_detail(&self, id: String) -> impl Future<Output = Result<PushDetail, ApiError>> + Send;

    /// How a push stands, at once and whenever that changed. The item whose state is `ended` is the last.
    fn push_follow(&self, id: String) -> BoxStream<'static, Result<PushView, ApiError>>;

    /// Approves or denies a push that waits at this agent for approval.
    fn push_decide(
        &self,
        request: PushDecision,
    ) -> impl Future<Output = Result<PushView, ApiError>> + Send;

    /// Gives up a push of this agent. Where it is in place already it stays there.
    fn push_cancel(
        &self,
        request: PushCancel,
    ) -> impl Future<Output = Result<PushView, ApiError>> + Send;

    /// Begins to bring back what was there before a push: a push of its own, which it answers.
    fn rollback(
        &self,
        request: RollbackRequest,
    ) -> impl Future<Output = Result<PushView, ApiError>> + Send;

    /// The roots of this agent, by name.
    fn roots(&self) -> impl Future<Output = Result<Vec<RootView>, ApiError>> + Send;
}
