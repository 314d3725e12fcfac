//! What somebody should look at: this node's configuration and its files.

use mesh_config::{Problem, stale_agents};
use mesh_control::{ConfigProblem, ConfigStateView};

use crate::shared::{Shared, lock};

/// Problems that are told of one kind.
const PROBLEMS_MAX: usize = 100;

/// An entry of an agent that is no member.
pub(super) const STALE: &str = "stale";

impl Shared {
    /// This node's configuration at a glance.
    pub(crate) fn config_state(&self) -> ConfigStateView {
        let config = &self.shared_config;
        let (document, violations) = config.effective();
        let mut problems: Vec<ConfigProblem> = violations
            .iter()
            .map(|violation| ConfigProblem {
                kind: "schema_invalid".to_owned(),
                key: Some(violation.path.clone()),
                detail: violation.reason.clone(),
                hint: "the last valid configuration is in force until this key is set again or removed".to_owned(),
            })
            .collect();
        let (keys, version, found) = {
            let state = lock(&config.state);
            (state.keys() as u64, state.version(), state.problems())
        };
        problems.extend(found.iter().take(PROBLEMS_MAX).map(problem));
        let stale = stale_agents(&document, &self.agents());
        problems.extend(stale.into_iter().take(PROBLEMS_MAX).map(|name| ConfigProblem {
            kind: STALE.to_owned(),
            detail: format!("{name} is no member of the mesh"),
            hint: format!("mesh-ctl config unset agents.{name}"),
            key: Some(format!("agents.{name}")),
        }));
        problems.extend(self.parity_problems());
        let views = config.views.iter().map(|view| lock(&view.report).clone()).collect();
        ConfigStateView { valid: violations.is_empty(), problems, keys, version, views }
    }
}

fn problem(problem: &Problem) -> ConfigProblem {
    let (kind, key, hint) = match problem {
        Problem::Hidden { key, by_key, .. } => {
            let hint = format!("decide: unset {key}, or unset {by_key} and set {key} again");
            ("clash", Some(key.to_string()), hint)
        }
        Problem::Unreadable { row, key: Some(_), .. } => {
            ("unreadable", Some(row.clone()), "set the key again, or remove it".to_owned())
        }
        Problem::Unreadable { row, key: None, .. } => {
            let hint = "nothing goes by it, as it is no key's; unset it to be rid of it".to_owned();
            ("unreadable", Some(row.clone()), hint)
        }
        Problem::Overfull { .. } => ("overfull", None, "remove what is not needed".to_owned()),
    };
    ConfigProblem { kind: kind.to_owned(), key, detail: problem.to_string(), hint }
}
