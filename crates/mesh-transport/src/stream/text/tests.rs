use http::{HeaderMap, HeaderValue};

use super::{END, Ending, HEAD_BYTES_MAX, REASON, read_ending, read_head, read_reason};
use super::{write_ending, write_head, write_reason};

#[test]
fn heads_of_any_bytes_come_back_and_larger_ones_do_not() {
    for head in [vec![], vec![0, 10, 255], vec![7; HEAD_BYTES_MAX]] {
        let mut headers = HeaderMap::new();
        write_head(&mut headers, &head);
        assert_eq!(read_head(&headers).unwrap(), head);
    }
    let mut headers = HeaderMap::new();
    assert_eq!(read_head(&headers), None);
    write_head(&mut headers, &vec![7; HEAD_BYTES_MAX + 1]);
    assert_eq!(read_head(&headers), None);
}

#[test]
fn a_reason_is_one_line_of_bounded_length() {
    let mut headers = HeaderMap::new();
    write_reason(&mut headers, "a\nb\r\u{7f}c ü");
    assert_eq!(read_reason(&headers), "a b  c ü");
    write_reason(&mut headers, &"ü".repeat(1000));
    assert_eq!(read_reason(&headers), "ü".repeat(128));
    // Another implementation may send anything that a header can hold.
    headers.insert(REASON, HeaderValue::from_bytes(&[0xff; 1000]).unwrap());
    assert_eq!(read_reason(&headers), "\u{fffd}".repeat(256));
}

#[test]
fn every_ending_that_can_be_said_is_understood() {
    let reason = || "full".to_owned();
    let said = [Ending::Finished, Ending::Reset(reason()), Ending::Refused(reason()), Ending::Busy];
    for ending in said {
        assert_eq!(read_ending(&write_ending(&ending)), Some(ending));
    }
    let mut trailers = HeaderMap::new();
    assert_eq!(read_ending(&trailers), None);
    trailers.insert(END, HeaderValue::from_static("another word"));
    assert_eq!(read_ending(&trailers), None);
}
