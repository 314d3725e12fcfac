//! Bounds of what members ask each other of the shared configuration.

use super::List;
use crate::tests::decode_frame;
use crate::tests::samples::config::{answer, key, question, summary};
use crate::{
    CONFIG_FINDINGS_MAX, CONFIG_KEY_BYTES_MAX, CONFIG_KEYS_PER_FRAME_MAX, CONFIG_RANGES,
    CONFIG_STALE_MAX, CONFIG_WORD_BYTES_MAX, ConfigAbout, ConfigFinding, ConfigKeyDigests,
    ConfigSaid, ConfigSummary, DecodeError, EncodeError, FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES,
    Frame, TEXT_BYTES_MAX,
};

/// Request and variant stand in front of what is asked or said.
const HEAD_BYTES: usize = 8 + 4;

fn short() -> ConfigSummary {
    let (file_state, file_detail) = (String::new(), String::new());
    ConfigSummary {
        file: None,
        file_state,
        file_detail,
        stale: vec![],
        findings: vec![],
        ..summary()
    }
}

fn summarized(summary: ConfigSummary) -> Frame {
    answer(ConfigSaid::Summary(summary))
}

/// Both sides refuse it.
fn refuse(frame: &Frame, what: &'static str) {
    assert_eq!(frame.encode(), Err(EncodeError::FieldTooLarge { what }));
    let mut bytes = summarized(short()).encode().unwrap();
    bytes.truncate(FRAME_HEADER_BYTES);
    if let Frame::ConfigQuestion(body) = frame {
        bytes[6] = 31;
        crate::codec::encode_into(body, FRAME_BODY_BYTES_MAX, &mut bytes).unwrap();
    } else if let Frame::ConfigAnswer(body) = frame {
        crate::codec::encode_into(body, FRAME_BODY_BYTES_MAX, &mut bytes).unwrap();
    }
    crate::tests::fix_body_length(&mut bytes);
    assert_eq!(decode_frame(&bytes), Err(DecodeError::Malformed { what }));
}

#[test]
fn a_question_names_so_many_ranges() {
    let ranges = List { count_at: HEAD_BYTES, tail_bytes: 8, element: &[7] };
    ranges.check(CONFIG_RANGES, |count| {
        question(ConfigAbout::Keys { ranges: vec![7; count], after: String::new() })
    });
}

#[test]
fn an_answer_holds_so_many_keys_and_the_longest_of_them() {
    let element = [&0_u64.to_le_bytes()[..], &[0, 0]].concat();
    let short = ConfigKeyDigests { key: String::new(), table: None, file: None };
    let keys = List { count_at: HEAD_BYTES, tail_bytes: 1, element: &element };
    keys.check(CONFIG_KEYS_PER_FRAME_MAX, |count| {
        answer(ConfigSaid::Keys { keys: vec![short.clone(); count], is_done: true })
    });
    let longest = ConfigKeyDigests {
        key: "k".repeat(CONFIG_KEY_BYTES_MAX),
        table: Some([1; 16]),
        file: Some([2; 16]),
    };
    let largest =
        ConfigSaid::Keys { keys: vec![longest; CONFIG_KEYS_PER_FRAME_MAX], is_done: false };
    let largest = answer(largest);
    assert_eq!(decode_frame(&largest.encode().unwrap()).unwrap(), largest);
}

#[test]
fn a_summary_holds_so_many_stale_entries_and_findings() {
    let ranges_bytes = 8 + 16 * CONFIG_RANGES;
    // Behind the table: no file, two empty texts, valid.
    let stale_at = HEAD_BYTES + ranges_bytes + 1 + 8 + 8 + 1;
    let stale = List { count_at: stale_at, tail_bytes: 8, element: &[0; 8] };
    stale.check(CONFIG_STALE_MAX, |count| {
        summarized(ConfigSummary { stale: vec![String::new(); count], ..short() })
    });
    let findings = List { count_at: stale_at + 8, tail_bytes: 0, element: &[0; 8 + 1 + 8] };
    findings.check(CONFIG_FINDINGS_MAX, |count| {
        let (kind, detail) = (String::new(), String::new());
        let finding = ConfigFinding { kind, key: None, detail };
        summarized(ConfigSummary { findings: vec![finding; count], ..short() })
    });
}

#[test]
fn a_summary_has_a_digest_for_every_range() {
    for count in [0, CONFIG_RANGES - 1] {
        let ranges = vec![[7; 16]; count];
        refuse(&summarized(ConfigSummary { table: ranges.clone(), ..short() }), "ranges");
        refuse(&summarized(ConfigSummary { file: Some(ranges), ..short() }), "ranges");
    }
    let beyond = summarized(ConfigSummary { table: vec![[7; 16]; CONFIG_RANGES + 1], ..short() });
    assert_eq!(beyond.encode(), Err(EncodeError::FieldTooLarge { what: "ranges" }));
}

#[test]
fn texts_about_the_configuration_have_bounds() {
    let long = |bytes: usize| "x".repeat(bytes + 1);
    let (a_key, a_text) = (long(CONFIG_KEY_BYTES_MAX), long(TEXT_BYTES_MAX));
    refuse(&question(ConfigAbout::Keys { ranges: vec![], after: a_key.clone() }), "key");
    let keys = vec![ConfigKeyDigests { key: a_key.clone(), ..key() }];
    refuse(&answer(ConfigSaid::Keys { keys, is_done: true }), "key");
    refuse(&summarized(ConfigSummary { stale: vec![a_key.clone()], ..short() }), "key");
    let word = long(CONFIG_WORD_BYTES_MAX);
    refuse(&summarized(ConfigSummary { file_state: word.clone(), ..short() }), "word");
    refuse(&summarized(ConfigSummary { file_detail: a_text.clone(), ..short() }), "detail");
    let finding = || summary().findings.swap_remove(0);
    let with = |finding| summarized(ConfigSummary { findings: vec![finding], ..short() });
    refuse(&with(ConfigFinding { kind: word, ..finding() }), "word");
    refuse(&with(ConfigFinding { key: Some(a_key), ..finding() }), "key");
    refuse(&with(ConfigFinding { detail: a_text, ..finding() }), "detail");
}
