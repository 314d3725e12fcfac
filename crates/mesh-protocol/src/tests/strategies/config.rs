//! What members ask each other of the shared configuration.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{array16, text};
use crate::{
    CONFIG_RANGES, ConfigAbout, ConfigAnswer, ConfigFinding, ConfigKeyDigests, ConfigQuestion,
    ConfigSaid, ConfigSummary, Frame,
};

fn ranges() -> impl Strategy<Value = Vec<[u8; 16]>> {
    vec(array16(), CONFIG_RANGES)
}

fn summary() -> impl Strategy<Value = ConfigSummary> {
    let finding = ("[a-z_]{0,32}", option::of(text()), text())
        .prop_map(|(kind, key, detail)| ConfigFinding { kind, key, detail });
    let file = (option::of(ranges()), "[a-z_]{0,32}", text());
    (ranges(), file, any::<bool>(), vec(text(), 0..3), vec(finding, 0..3)).prop_map(
        |(table, (file, file_state, file_detail), is_valid, stale, findings)| ConfigSummary {
            table,
            file,
            file_state,
            file_detail,
            is_valid,
            stale,
            findings,
        },
    )
}

pub(super) fn frame() -> impl Strategy<Value = Frame> {
    let about = prop_oneof![
        Just(ConfigAbout::Summary),
        (vec(any::<u8>(), 0..4), text())
            .prop_map(|(ranges, after)| ConfigAbout::Keys { ranges, after }),
    ];
    let key = (text(), option::of(array16()), option::of(array16()))
        .prop_map(|(key, table, file)| ConfigKeyDigests { key, table, file });
    let said = prop_oneof![
        Just(ConfigSaid::Busy),
        summary().prop_map(ConfigSaid::Summary),
        (vec(key, 0..4), any::<bool>())
            .prop_map(|(keys, is_done)| ConfigSaid::Keys { keys, is_done }),
    ];
    prop_oneof![
        (any::<u64>(), about).prop_map(|(request_id, about)| Frame::ConfigQuestion(
            ConfigQuestion { request_id, about }
        )),
        (any::<u64>(), said)
            .prop_map(|(request_id, said)| Frame::ConfigAnswer(ConfigAnswer { request_id, said })),
    ]
}
