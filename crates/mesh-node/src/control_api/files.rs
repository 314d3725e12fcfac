//! Pushes over the local admin API.

use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use mesh_control::{
    ApiError, FilesApi, PullRequest, PushCancel, PushDecision, PushDetail, PushRequest, PushState,
    PushView, PushesQuery, RollbackRequest, RootView,
};

use crate::node::Node;

/// How many pushes are listed unless somebody asks for more.
const PUSHES_DEFAULT: u64 = 50;
/// Most that are listed.
const PUSHES_MAX: u64 = 1000;
/// Bytes go on without being recorded; they are looked at as often.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl FilesApi for Node {
    async fn push(&self, request: PushRequest) -> Result<PushView, ApiError> {
        let push_id = self.shared.start_push(request).await?;
        Ok(self.shared.push_of(push_id).await?)
    }

    async fn pull(&self, request: PullRequest) -> Result<PushView, ApiError> {
        Ok(self.shared.pull(request).await?)
    }

    async fn pushes(&self, query: PushesQuery) -> Result<Vec<PushView>, ApiError> {
        let limit = query.limit.unwrap_or(PUSHES_DEFAULT).min(PUSHES_MAX);
        Ok(self.shared.list_pushes(limit).await?)
    }

    async fn push_detail(&self, id: String) -> Result<PushDetail, ApiError> {
        let push_id = self.shared.find_push(&id).await?;
        Ok(self.shared.detail_of(push_id).await?)
    }

    fn push_follow(&self, id: String) -> BoxStream<'static, Result<PushView, ApiError>> {
        let node = self.clone();
        let recorded = node.shared.follow_pushes();
        let first = (node, id, recorded, None);
        stream::try_unfold(first, async |(node, id, mut recorded, before)| {
            loop {
                recorded.mark_unchanged();
                let push_id = node.shared.find_push(&id).await?;
                let push = node.shared.push_of(push_id).await?;
                if before.as_ref() != Some(&push) {
                    return Ok(Some((push.clone(), (node, id, recorded, Some(push)))));
                }
                if push.state == PushState::Ended {
                    return Ok(None);
                }
                tokio::select! {
                    _gone = recorded.changed() => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
        })
        .boxed()
    }

    async fn push_decide(&self, request: PushDecision) -> Result<PushView, ApiError> {
        Ok(self.shared.decide(&request.push_id, request.deny).await?)
    }

    async fn push_cancel(&self, request: PushCancel) -> Result<PushView, ApiError> {
        Ok(self.shared.cancel(&request.push_id).await?)
    }

    async fn rollback(&self, request: RollbackRequest) -> Result<PushView, ApiError> {
        Ok(self.shared.roll_back(request).await?)
    }

    async fn roots(&self) -> Result<Vec<RootView>, ApiError> {
        Ok(self.shared.root_views())
    }
}
