use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{ADDRESS_HOST_BYTES_MAX, ParseError};

/// Where a peer can be dialled: an IP address or DNS name, and a port. Says nothing about who answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The IP address or DNS name, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port, never 0.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The socket address, when the host is an IP address and needs no name service.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(ip, self.port))
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        Self { host: addr.ip().to_string(), port: addr.port() }
    }
}

impl FromStr for Address {
    type Err = ParseError;

    /// Reads `192.0.2.7:13500`, `[2001:db8::7]:13500` or `mint.example:13500`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        const WHAT: &str = "address";
        if text.len() > ADDRESS_HOST_BYTES_MAX + 8 {
            return Err(ParseError::Length { what: WHAT, bytes: text.len() });
        }
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return if addr.port() == 0 {
                Err(ParseError::Characters { what: WHAT })
            } else {
                Ok(addr.into())
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or(ParseError::Characters { what: WHAT })?;
        // `parse` would take a sign as well.
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseError::Characters { what: WHAT });
        }
        let port: u16 = port.parse().map_err(|_| ParseError::Characters { what: WHAT })?;
        let is_name =
            host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        if host.is_empty() || host.len() > ADDRESS_HOST_BYTES_MAX || !is_name || port == 0 {
            return Err(ParseError::Characters { what: WHAT });
        }
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

impl TryFrom<String> for Address {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
