//! The rules: keywords that call a rule to a line, the expression that it looks for there, and the judgement of what
//! matched. Expressions are about bytes; `v` names the value, which is the whole match where there is none.

use crate::finding::RuleId;

/// One kind of secret.
pub(crate) struct Rule {
    pub(crate) id: RuleId,
    pub(crate) what: &'static str,
    /// Found in any case. At least one stands in whatever the expression matches, on the same line.
    pub(crate) keywords: &'static [&'static str],
    pub(crate) expression: &'static str,
    pub(crate) check: Check,
}

/// What is asked of a match before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Its shape is proof, unless it is a placeholder.
    Shape,
    /// A fixed text that says so itself.
    Mark,
    /// It looks random as well.
    Random,
    /// Base64 of `user:password`.
    Basic,
    /// Begins with a JSON header.
    Jwt,
    /// This project's join token, by its checksum.
    JoinToken,
    /// The password of an address.
    UserInfo,
    /// The value of a name that holds a secret.
    Assigned,
    /// A value behind a flag whose name holds a secret.
    Flag,
    /// A value behind `-p`.
    ShortFlag,
    /// Hexadecimal digits beside a word for secrets.
    BesideWord,
}

/// The words that call the rules about names.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "passwort",
    "pwd",
    "secret",
    "token",
    "credential",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "access-key",
    "accesskey",
    "private_key",
    "private-key",
    "privatekey",
    "secretkey",
    "signing_key",
    "signing-key",
    "signingkey",
    "encryption_key",
    "encryption-key",
    "encryptionkey",
    "auth_key",
    "auth-key",
    "authkey",
    "account_key",
    "accountkey",
    "master_key",
    "masterkey",
    "session_key",
    "sessionkey",
    "node-key",
    "store-key",
];

macro_rules! rule {
    ($id:literal, $what:literal, $keywords:expr, $check:ident, $expression:expr) => {
        Rule {
            id: RuleId($id),
            what: $what,
            keywords: $keywords,
            expression: $expression,
            check: Check::$check,
        }
    };
}

/// In the order of what is told when several match the same bytes: the most telling first.
pub(crate) const RULES: &[Rule] = &[
    rule!(
        "join_token",
        "a join token of a mesh",
        &["meshjoin1_"],
        JoinToken,
        r"meshjoin1_(?P<v>[0-9A-Za-z_-]{100,})"
    ),
    rule!(
        "mesh_key_file",
        "a key of a mesh agent",
        &["node-key ", "store-key "],
        Shape,
        r"\b(?:node|store)-key (?P<v>[0-9A-Za-z_-]{43})(?:[^0-9A-Za-z_-]|$)"
    ),
    rule!(
        "private_key",
        "a private key",
        &["private key-----", "private key block-----", "putty-user-key-file-", "age-secret-key-1"],
        Mark,
        r"-----BEGIN (?:[0-9A-Z]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----|(?i)PuTTY-User-Key-File-[0-9]|AGE-SECRET-KEY-1[0-9A-Z]{58}"
    ),
    rule!(
        "aws_access_key",
        "an AWS access key",
        &["akia", "asia", "abia", "acca"],
        Shape,
        r"\b(?:AKIA|ASIA|ABIA|ACCA)[2-7A-Z]{16}\b"
    ),
    rule!(
        "gcp_key",
        "a Google API key or OAuth secret",
        &["aiza", "ya29.", "gocspx-"],
        Shape,
        r"\bAIza[0-9A-Za-z_-]{35}|\bya29\.[0-9A-Za-z_-]{20,}|\bGOCSPX-[0-9A-Za-z_-]{28}"
    ),
    rule!(
        "github_token",
        "a GitHub token",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        Shape,
        r"\bgh[pousr]_[0-9A-Za-z]{36,}|\bgithub_pat_[0-9A-Za-z_]{22,}"
    ),
    rule!(
        "gitlab_token",
        "a GitLab token",
        &["glpat-", "glrt-", "gldt-", "glptt-", "glcbt-", "glsoat-", "glft-", "glagent-"],
        Shape,
        r"\bgl(?:pat|rt|dt|ptt|cbt|soat|ft|agent)-[0-9A-Za-z_.-]{20,}"
    ),
    rule!(
        "slack_token",
        "a Slack token or webhook",
        &[
            "xoxa-",
            "xoxb-",
            "xoxe",
            "xoxo-",
            "xoxp-",
            "xoxr-",
            "xoxs-",
            "xapp-",
            "hooks.slack.com/services/"
        ],
        Shape,
        r"\bxox[abeoprs](?:\.xox[bp])?-[0-9A-Za-z-]{20,}|\bxapp-[0-9]-[0-9A-Z]+-[0-9]+-[0-9a-f]{16,}|hooks\.slack\.com/services/T[0-9A-Z]+/B[0-9A-Z]+/[0-9A-Za-z]{16,}"
    ),
    rule!(
        "stripe_key",
        "a Stripe secret key",
        &["sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_"],
        Shape,
        r"\b[rs]k_(?:live|test)_[0-9A-Za-z]{16,}|\bwhsec_[0-9A-Za-z+/]{32,}"
    ),
    rule!(
        "anthropic_key",
        "an Anthropic API key",
        &["sk-ant-"],
        Shape,
        r"\bsk-ant-[0-9A-Za-z]+-[0-9A-Za-z_-]{20,}"
    ),
    rule!(
        "openai_key",
        "an OpenAI API key",
        &["sk-"],
        Random,
        r"\bsk-(?:proj-|svcacct-|admin-|None-)?(?P<v>[0-9A-Za-z_-]{20,})"
    ),
    rule!("npm_token", "an npm token", &["npm_"], Shape, r"\bnpm_[0-9A-Za-z]{36}"),
    rule!("pypi_token", "a PyPI token", &["pypi-"], Random, r"\bpypi-(?P<v>[0-9A-Za-z_-]{50,})"),
    rule!(
        "tailscale_key",
        "a Tailscale key",
        &["tskey-"],
        Shape,
        r"\btskey-(?:[a-z]+-)?[0-9A-Za-z]{6,}(?:-[0-9A-Za-z]{10,})?"
    ),
    rule!(
        "telegram_bot_token",
        "a Telegram bot token",
        &[":aa", "%3aaa", "telegram", "/bot"],
        Random,
        r"(?:\b|bot)[0-9]{8,10}(?::|%3[Aa])(?P<v>[0-9A-Za-z_-]{35})(?:[^0-9A-Za-z_-]|$)"
    ),
    rule!("huggingface_token", "a Hugging Face token", &["hf_"], Shape, r"\bhf_[0-9A-Za-z]{34,}"),
    rule!(
        "jwt",
        "a JSON web token",
        &["eyj"],
        Jwt,
        r"\b(?P<v>eyJ[0-9A-Za-z_-]{10,})\.[0-9A-Za-z_-]{10,}"
    ),
    rule!(
        "bearer",
        "a bearer token",
        &["bearer"],
        Random,
        r"(?i)\bbearer[ \t]+(?P<v>[0-9a-z._~+/=-]{16,})"
    ),
    rule!(
        "basic",
        "user and password of an HTTP header",
        &["basic"],
        Basic,
        r"(?i)\bbasic[ \t]+(?P<v>[0-9a-z+/=_-]{8,})"
    ),
    rule!(
        "url_userinfo",
        "a password in an address",
        &["://"],
        UserInfo,
        r#"://(?P<k>[^\s/:@"'`<>]*)(?::(?P<v>[^\s/@"'`<>]+))?@"#
    ),
    rule!(
        "command_line",
        "a secret on a command line",
        &[
            "--pass", "--token", "--secret", "--api", "--access", "-pass", "-token", "-secret",
            "-key"
        ],
        Flag,
        r#"(?i)(?:^|[\s"'`\[(,])--?(?P<k>[0-9a-z-]{3,40})(?:=|[ \t]+|["'][ \t]*,[ \t]*["'])(?:'(?P<q>[^'\n]{4,})'|"(?P<d>[^"\n]{4,})"|(?P<v>[^\s'"`]{6,}))"#
    ),
    rule!(
        "command_line_short",
        "a password on a command line",
        &["-p '", "-p'", "-p \"", "-p\"", "sshpass", "mysql", "mariadb", "curl"],
        ShortFlag,
        r#"(?:^|\s)-p[ \t]?(?:'(?P<q>[^'\n]{4,})'|"(?P<d>[^"\n]{4,})")|\bsshpass[ \t]+-p[ \t]*(?P<v>[^\s'"]{4,})|\b(?:mysql|mysqldump|mysqladmin|mariadb)\b[^\n|;&]*?[ \t]-p(?P<u>[^\s'"]{4,})|\bcurl\b[^\n|;&]*?[ \t]-u[ \t]*['"]?[^\s:'"]+:(?P<w>[^\s'"]{4,})"#
    ),
    rule!(
        "assigned_secret",
        "a value assigned to a name for secrets",
        NAMES,
        Assigned,
        r#"(?i)(?P<k>[0-9a-z_.$-]*(?:password|passwd|passphrase|passcode|passwort|pwd|secret|token|credential|api[_-]?key|(?:access|private|secret|signing|encryption|auth|account|master|session|node|store)[_-]?key)[0-9a-z_-]*)(?:\\?["'`]|\])*(?:[ \t]*(?P<s>:=|=>|==|:[ \t]*[a-z&_<>']{2,16}[ \t]*=|=|:|,|>)[ \t]*|[ \t]+)(?:\\?["'`](?P<q>[^\s"'`\\]{8,})|(?P<v>[^\s"'`,;<>(){}\[\]|\\]{8,}))"#
    ),
    rule!(
        "hex_beside_word",
        "a hexadecimal key",
        NAMES,
        BesideWord,
        r"(?i)\b(?P<v>[0-9a-f]{64}|[0-9a-f]{32})\b"
    ),
];

/// A column of a table that is headed by a word for secrets.
pub(crate) const TABLE: (RuleId, &str) = (RuleId("table_secret"), "a secret in a table");
/// A file that usually holds nothing but secrets.
pub(crate) const FILE: (RuleId, &str) =
    (RuleId("secret_file"), "a file that usually holds secrets");
/// The value of a configuration key that is for secrets.
pub(crate) const VALUE: (RuleId, &str) =
    (RuleId("secret_value"), "a value under a key for secrets");

/// Every rule, and what it finds in words.
pub fn rules() -> impl Iterator<Item = (RuleId, &'static str)> {
    RULES.iter().map(|rule| (rule.id, rule.what)).chain([TABLE, FILE, VALUE])
}
