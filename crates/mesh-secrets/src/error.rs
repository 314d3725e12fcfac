use thiserror::Error;

/// Why content could not be judged. Nothing may travel on this answer: it refuses as a finding does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScanError {
    /// The rules of this build cannot be carried out.
    #[error("the rules of the secrets scanner cannot be carried out")]
    Rules,
    /// A JSON value is nested deeper than anything that can be parsed from a text.
    #[error("the value is nested too deep to be looked at for secrets")]
    TooDeep,
}

/// Why an allow list is not taken. None of its entries count then.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AllowListError {
    /// The text is not TOML, or has a field that no entry has, or lacks one.
    #[error("line {line}: {message}")]
    Syntax {
        /// The line, from 1.
        line: u64,
        /// What the parser says of it.
        message: String,
    },
    /// No rule has this name: a mistyped one would allow nothing, silently.
    #[error("line {line}: there is no rule of this name")]
    UnknownRule {
        /// The line, from 1.
        line: u64,
    },
    /// An entry has to say why it is there.
    #[error("line {line}: the reason is empty")]
    ReasonMissing {
        /// The line, from 1.
        line: u64,
    },
    /// The date is none, such as 2027-02-30.
    #[error("line {line}: the expiry is no date such as 2027-01-31")]
    Expiry {
        /// The line, from 1.
        line: u64,
    },
    /// The pattern is empty or too long.
    #[error("line {line}: the name is no pattern such as docs/*.md")]
    Name {
        /// The line, from 1.
        line: u64,
    },
    /// More entries than anyone reviews.
    #[error("line {line}: too many entries")]
    TooMany {
        /// The line of the first that is too many, from 1.
        line: u64,
    },
}
