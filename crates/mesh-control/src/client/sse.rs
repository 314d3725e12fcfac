//! Reads server-sent events from pieces of any size.

use super::http::protocol;
use crate::{ClientError, STREAM_ITEM_BYTES_MAX};

/// Largest event that is taken: the largest item, and its field names.
const EVENT_BYTES_MAX: usize = STREAM_ITEM_BYTES_MAX + 1024;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SseEvent {
    /// Its name; empty for an ordinary one.
    pub(super) name: String,
    /// Its lines, joined by line feeds.
    pub(super) data: String,
}

/// Takes bytes as they come and gives whole events. An event that is cut off at the end is dropped.
#[derive(Debug, Default)]
pub(super) struct SseParser {
    line: Vec<u8>,
    after_carriage_return: bool,
    name: String,
    data: Option<String>,
}

impl SseParser {
    /// The events that `chunk` completes.
    pub(super) fn feed(&mut self, chunk: &[u8]) -> Result<Vec<SseEvent>, ClientError> {
        let mut events = Vec::new();
        for &byte in chunk {
            // A line ends with LF, CR, or both in this order, which a chunk may part.
            let is_second_half = std::mem::take(&mut self.after_carriage_return) && byte == b'\n';
            if is_second_half {
                continue;
            }
            if byte == b'\n' || byte == b'\r' {
                self.after_carriage_return = byte == b'\r';
                events.extend(self.end_line()?);
            } else {
                self.line.push(byte);
                let bytes = self.line.len() + self.data.as_ref().map_or(0, String::len);
                if bytes > EVENT_BYTES_MAX {
                    return Err(ClientError::Protocol {
                        what: "an event is too large",
                        source: None,
                    });
                }
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Result<Option<SseEvent>, ClientError> {
        let line = String::from_utf8(std::mem::take(&mut self.line))
            .map_err(|error| protocol("events in UTF-8", error))?;
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            return Ok(self.data.take().map(|data| SseEvent { name, data }));
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // Comments keep the connection alive; ids and retry times mean nothing to this client.
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
