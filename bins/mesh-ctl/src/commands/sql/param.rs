//! What a `--param` means.

use std::fs::File;
use std::io::{self, Read as _};

use mesh_control::{ApiError, SqlJson};
use mesh_protocol::{ErrorCode, SqlValue};

use crate::exit::Failure;
use crate::text::plain;

/// Largest blob or file of SQL: what the agent takes, with room for its form in JSON.
pub(super) const FILE_BYTES_MAX: u64 = 20 << 20;

/// The value of a `--param`: JSON where it is a whole number, text or the like, `@FILE`, else text.
pub(super) fn value(param: &str) -> Result<SqlJson, Failure> {
    if let Some(path) = param.strip_prefix('@') {
        let bytes = File::open(path).and_then(read).map_err(|error| {
            Failure::usage(
                format!("reading {} failed: {error}", plain(path)),
                "behind @ stands the name of a file; a text that begins so is written '\"@…\"'",
            )
        })?;
        return bounded(bytes).map(|bytes| SqlJson(SqlValue::Blob(bytes)));
    }
    let is_trimmed = param.trim() == param;
    let value = serde_json::from_str(param).ok().filter(|_| is_trimmed);
    Ok(value.unwrap_or_else(|| SqlJson(SqlValue::Text(param.to_owned()))))
}

/// Reads one byte more than may be there at the most.
pub(super) fn read(source: impl io::Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn bounded(bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let message = format!("a file may have {FILE_BYTES_MAX} bytes here; nothing was sent");
        return Err(ApiError::new(ErrorCode::MessageTooLarge, message, "use a smaller one").into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
