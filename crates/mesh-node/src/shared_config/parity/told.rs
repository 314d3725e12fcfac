//! What comparing brought, as it is told.

use mesh_config::ConfigKey;
use mesh_control::{CONFIG_DIFFERENCES_MAX, ConfigPeerView, ConfigProblem};
use mesh_protocol::PeerId;

use super::ask::Compared;
use crate::view::View;

/// The first keys as texts; counts the others.
fn first(keys: Vec<ConfigKey>, left_out: &mut u64) -> Vec<String> {
    *left_out += keys.len().saturating_sub(CONFIG_DIFFERENCES_MAX) as u64;
    keys.into_iter().take(CONFIG_DIFFERENCES_MAX).map(|key| key.to_string()).collect()
}

/// How a member stands to this node.
pub(super) fn peer_view(
    view: &View,
    peer: PeerId,
    found: Result<Compared, String>,
) -> ConfigPeerView {
    let nobody = ConfigPeerView {
        hostname: view.label(&peer),
        peer_id: Some(peer),
        ..ConfigPeerView::default()
    };
    let compared = match found {
        Ok(compared) => compared,
        Err(detail) => return ConfigPeerView { detail, ..nobody },
    };
    let in_sync = compared.is_in_sync();
    let Compared { parity, file, is_valid, stale, findings } = compared;
    let mut left_out = 0;
    let mut problems: Vec<ConfigProblem> = findings
        .into_iter()
        .map(|found| ConfigProblem {
            kind: found.kind,
            key: found.key,
            detail: found.detail,
            hint: String::new(),
        })
        .collect();
    if !is_valid {
        problems.push(ConfigProblem {
            kind: "schema_invalid".to_owned(),
            key: None,
            detail: "what its table holds breaks the rules".to_owned(),
            hint: String::new(),
        });
    }
    ConfigPeerView {
        in_sync,
        reachable: true,
        missing: first(parity.missing, &mut left_out),
        extra: first(parity.extra, &mut left_out),
        different: first(parity.different, &mut left_out),
        stale,
        left_out,
        file: Some(file),
        problems,
        ..nobody
    }
}
