use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ParseError;

/// Defines the codes and their words in one place, so that none can lack the other.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// The stable word of an error: scripts and other agents depend on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word, as it stands in JSON and on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl FromStr for ErrorCode {
            type Err = ParseError;

            fn from_str(word: &str) -> Result<Self, ParseError> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(ParseError::Characters { what: "error code" }),
                }
            }
        }
    };
}

error_codes! {
    /// The join token's time is over.
    TokenExpired = "token_expired",
    /// The join token has admitted somebody else.
    TokenUsed = "token_used",
    /// The join token was withdrawn.
    TokenRevoked = "token_revoked",
    /// The text is not a join token, was altered, or its issuer does not know it.
    TokenInvalid = "token_invalid",
    /// None of the issuer's addresses answered.
    IssuerUnreachable = "issuer_unreachable",
    /// Another member has this hostname.
    HostnameTaken = "hostname_taken",
    /// The text is not a hostname.
    HostnameInvalid = "hostname_invalid",
    /// This agent belongs to a mesh with other members and cannot join a second one.
    AlreadyMember = "already_member",
    /// No member has this hostname or peer id.
    UnknownPeer = "unknown_peer",
    /// A queue has reached its bound; nothing was stored.
    QueueFull = "queue_full",
    /// The message is larger than the protocol allows.
    MessageTooLarge = "message_too_large",
    /// The message's lifetime ended before it was acknowledged.
    MessageExpired = "message_expired",
    /// The message was addressed to somebody else, or names a sender that is not the link's peer.
    MessageMisdirected = "message_misdirected",
    /// The sealed message cannot be opened: a key is gone, or it was altered.
    SealInvalid = "seal_invalid",
    /// A secret was found in what was about to travel.
    SecretFound = "secret_found",
    /// A value does not fit its schema.
    SchemaInvalid = "schema_invalid",
    /// A path leads outside the opened roots.
    PathRefused = "path_refused",
    /// Bytes do not match their digest.
    ChecksumMismatch = "checksum_mismatch",
    /// The peer does not belong to this mesh, or was removed.
    NotAMember = "not_a_member",
    /// Two clocks differ by more than is allowed.
    ClockSkew = "clock_skew",
    /// The two sides have no protocol version in common.
    VersionUnsupported = "version_unsupported",
    /// The peer has no link to this agent at the moment.
    PeerUnreachable = "peer_unreachable",
    /// Too many requests from this address.
    RateLimited = "rate_limited",
    /// The agent does not run or its socket cannot be reached.
    AgentUnreachable = "agent_unreachable",
    /// The request lasted longer than it may; the work goes on.
    TimedOut = "timed_out",
    /// The request is not understood.
    BadRequest = "bad_request",
    /// What was named does not exist.
    NotFound = "not_found",
    /// Bytes that do not follow the protocol.
    ProtocolError = "protocol_error",
    /// The database or disk refused.
    StorageError = "storage_error",
    /// The statement is not SQL, or names what is not there.
    StatementInvalid = "statement_invalid",
    /// The statement or table is of a kind that is not allowed.
    StatementRefused = "statement_refused",
    /// A constraint of a table forbids the write.
    ConstraintFailed = "constraint_failed",
    /// There is no such replicated table.
    UnknownTable = "unknown_table",
    /// There is no such conflict, or it is settled.
    UnknownConflict = "unknown_conflict",
    /// What came after this position is not kept any more.
    PositionGone = "position_gone",
    /// The query ran longer than it may, and was stopped.
    QueryTooLong = "query_too_long",
    /// The answer has more rows or bytes than it may.
    TooManyRows = "too_many_rows",
    /// The text is no key of the configuration.
    ConfigKeyInvalid = "config_key_invalid",
    /// The key belongs to one machine alone: it is not shared.
    ConfigKeyLocal = "config_key_local",
    /// More keys or bytes than the configuration, a change or a value may have.
    ConfigTooLarge = "config_too_large",
    /// Nothing of the configuration is at this key.
    UnknownKey = "unknown_key",
    /// There is no such change of the configuration, or it is not kept any more.
    UnknownVersion = "unknown_version",
    /// Several members made a change of this number at once.
    AmbiguousVersion = "ambiguous_version",
    /// What is to be undone was changed again since.
    ChangedSince = "changed_since",
    /// The value is sealed to others.
    SealedUnreadable = "sealed_unreadable",
    /// This agent neither made the push nor is a target of it.
    UnknownPush = "unknown_push",
    /// The first digits belong to several pushes.
    AmbiguousPush = "ambiguous_push",
    /// There is no root of this name, or it is not open for that.
    UnknownRoot = "unknown_root",
    /// There is no repository of this name, or it is not open for that.
    UnknownRepository = "unknown_repository",
    /// The disk is full, or the database has reached its largest size.
    DiskFull = "disk_full",
    /// The database is on a file system that cannot be written.
    ReadOnly = "read_only",
    /// The agent is stopping.
    ShuttingDown = "shutting_down",
    /// A fault of this program.
    Internal = "internal",
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    /// A word from a newer peer becomes [`ErrorCode::Internal`]: the text beside it still tells what happened.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Ok(word.parse().unwrap_or(Self::Internal))
    }
}
