//! What headers and trailers say about a stream.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::outbox::Ending;

/// What a stream is for may take so many bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 4 << 10;

/// So much of a reason travels.
const REASON_BYTES_MAX: usize = 256;

const HEAD: HeaderName = HeaderName::from_static("mesh-head");
const END: HeaderName = HeaderName::from_static("mesh-end");
const REASON: HeaderName = HeaderName::from_static("mesh-reason");

/// The header that carries a head.
pub(crate) fn write_head(headers: &mut HeaderMap, head: &[u8]) {
    if let Ok(mut value) = HeaderValue::from_str(&STANDARD.encode(head)) {
        // No head comes twice: it has no place in the table of headers that repeat.
        value.set_sensitive(true);
        headers.insert(HEAD, value);
    }
}

/// The head in a request or answer; none when it is missing, malformed or too large.
pub(crate) fn read_head(headers: &HeaderMap) -> Option<Bytes> {
    let head = STANDARD.decode(headers.get(HEAD)?.as_bytes()).ok()?;
    (head.len() <= HEAD_BYTES_MAX).then(|| Bytes::from(head))
}

/// The header that carries a reason: one line, cut to its bound.
pub(crate) fn write_reason(headers: &mut HeaderMap, reason: &str) {
    let mut line = String::new();
    for char in reason.chars() {
        let char = if char.is_control() { ' ' } else { char };
        if line.len() + char.len_utf8() > REASON_BYTES_MAX {
            break;
        }
        line.push(char);
    }
    if let Ok(value) = HeaderValue::from_bytes(line.as_bytes()) {
        headers.insert(REASON, value);
    }
}

/// The reason in an answer or in trailers, which may be empty.
pub(crate) fn read_reason(headers: &HeaderMap) -> String {
    let bytes = headers.get(REASON).map_or(&[][..], HeaderValue::as_bytes);
    let bytes = bytes.get(..REASON_BYTES_MAX).unwrap_or(bytes);
    // A terminal may show it.
    String::from_utf8_lossy(bytes).chars().filter(|char| !char.is_control()).collect()
}

/// The trailers of a direction.
pub(crate) fn write_ending(ending: &Ending) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let (word, reason) = match ending {
        Ending::Finished => ("finished", None),
        Ending::Refused(reason) => ("refused", Some(reason)),
        Ending::Busy => ("busy", None),
        Ending::Reset(reason) => ("reset", Some(reason)),
        Ending::Broken | Ending::LinkClosed | Ending::Here => ("reset", None),
    };
    trailers.insert(END, HeaderValue::from_static(word));
    if let Some(reason) = reason {
        write_reason(&mut trailers, reason);
    }
    trailers
}

/// How a direction ended; none when the trailers do not say.
pub(crate) fn read_ending(trailers: &HeaderMap) -> Option<Ending> {
    match trailers.get(END)?.as_bytes() {
        b"finished" => Some(Ending::Finished),
        b"refused" => Some(Ending::Refused(read_reason(trailers))),
        b"busy" => Some(Ending::Busy),
        b"reset" => Some(Ending::Reset(read_reason(trailers))),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
