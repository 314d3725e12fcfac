use super::*;

fn event(name: &str, data: &str) -> SseEvent {
    SseEvent { name: name.to_owned(), data: data.to_owned() }
}

fn parse(pieces: &[&[u8]]) -> Vec<SseEvent> {
    let mut parser = SseParser::default();
    pieces.iter().flat_map(|piece| parser.feed(piece).unwrap()).collect()
}

const TEXT: &[u8] = b": hello\n\nevent: error\ndata: {\"a\":\ndata: 1}\n\ndata:two\r\n\r\nid: 7\rdata: three\r\rdata: cut";

fn expected() -> Vec<SseEvent> {
    vec![event("error", "{\"a\":\n1}"), event("", "two"), event("", "three")]
}

#[test]
fn comments_names_and_lines_of_data_are_told_apart() {
    assert_eq!(parse(&[TEXT]), expected());
}

#[test]
fn a_stream_may_be_cut_anywhere() {
    for at in 0..=TEXT.len() {
        let (head, tail) = TEXT.split_at(at);
        assert_eq!(parse(&[head, tail]), expected(), "cut at {at}");
    }
    let single: Vec<&[u8]> = TEXT.chunks(1).collect();
    assert_eq!(parse(&single), expected());
}

#[test]
fn an_event_without_data_is_none() {
    assert_eq!(parse(&[b"event: x\n\ndata\n\n"]), vec![event("", "")]);
}

#[test]
fn a_character_may_be_cut() {
    assert_eq!(parse(&[b"data: \xc3", b"\xa9\n\n"]), vec![event("", "é")]);
}

#[test]
fn what_is_not_text_is_refused() {
    let refused = SseParser::default().feed(b"data: \xff\n");
    assert!(matches!(refused, Err(ClientError::Protocol { .. })), "{refused:?}");
}

#[test]
fn an_endless_event_is_refused_at_its_bound() {
    let mut parser = SseParser::default();
    let line = [b"data: ".as_slice(), &vec![b'x'; 1 << 20], b"\n"].concat();
    let fed = (0..64).take_while(|_| parser.feed(&line).is_ok()).count();
    assert!((15..=16).contains(&fed), "{fed}");
    assert!(parser.line.len() <= EVENT_BYTES_MAX + 1);
}
