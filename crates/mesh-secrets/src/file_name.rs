//! Files that hold secrets by their name.

/// Whole names.
const NAMES: [&str; 15] = [
    ".env",
    ".envrc",
    ".git-credentials",
    ".htpasswd",
    ".netrc",
    "_netrc",
    ".pgpass",
    ".vault-token",
    "id_dsa",
    "id_ecdsa",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ed25519_sk",
    "id_rsa",
    "node.key",
];
const ENDS: [&str; 10] = [
    ".jks",
    ".kdbx",
    ".key",
    ".keystore",
    ".p12",
    ".pem",
    ".pfx",
    ".ppk",
    ".session",
    ".session-journal",
];
/// What shows how such a file looks.
const PATTERN_ENDS: [&str; 5] = [".dist", ".example", ".sample", ".template", ".tmpl"];

/// Whether a file of this name usually holds secrets.
pub(crate) fn holds_secrets(path: &str) -> bool {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path).to_ascii_lowercase();
    let is_pattern = PATTERN_ENDS.iter().any(|end| name.ends_with(end));
    let is_environment = name.starts_with(".env.");
    !is_pattern
        && (is_environment
            || NAMES.contains(&name.as_str())
            || ENDS.iter().any(|end| name.ends_with(end)))
}
