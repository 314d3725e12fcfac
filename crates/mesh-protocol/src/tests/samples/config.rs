//! What members ask each other of the shared configuration.

use crate::{
    CONFIG_RANGES, ConfigAbout, ConfigAnswer, ConfigFinding, ConfigKeyDigests, ConfigQuestion,
    ConfigSaid, ConfigSummary, Frame,
};

pub(crate) fn summary() -> ConfigSummary {
    ConfigSummary {
        table: vec![[0xc1; 16]; CONFIG_RANGES],
        file: Some(vec![[0xc2; 16]; CONFIG_RANGES]),
        file_state: "broken".to_owned(),
        file_detail: "expected a colon".to_owned(),
        is_valid: true,
        stale: vec!["agents.elm".to_owned()],
        findings: vec![ConfigFinding {
            kind: "reference_missing".to_owned(),
            key: Some("agents.oak.token_file".to_owned()),
            detail: "/etc/oak/token is not there".to_owned(),
        }],
    }
}

pub(crate) fn key() -> ConfigKeyDigests {
    ConfigKeyDigests { key: "shared.region".to_owned(), table: Some([0xc3; 16]), file: None }
}

pub(crate) fn question(about: ConfigAbout) -> Frame {
    Frame::ConfigQuestion(ConfigQuestion { request_id: 14, about })
}

pub(crate) fn answer(said: ConfigSaid) -> Frame {
    Frame::ConfigAnswer(ConfigAnswer { request_id: 14, said })
}

pub(crate) fn frames() -> Vec<(&'static str, Frame)> {
    let keys = ConfigAbout::Keys { ranges: vec![7, 255], after: "shared.m".to_owned() };
    vec![
        ("config_question_summary", question(ConfigAbout::Summary)),
        ("config_question_keys", question(keys)),
        ("config_answer_busy", answer(ConfigSaid::Busy)),
        ("config_answer_summary", answer(ConfigSaid::Summary(summary()))),
        ("config_answer_keys", answer(ConfigSaid::Keys { keys: vec![key()], is_done: true })),
    ]
}
