//! Every rule with a line that must be found and a line that must pass.

use std::collections::BTreeMap;

use mesh_secrets::{Scanner, rules};
use serde_json::json;

use crate::fakes::{DIGITS, LETTERS, join_token, letters};

/// A line, and the part of it that no finding may repeat.
struct Case {
    rule: &'static str,
    line: String,
    value: String,
}

fn case(rule: &'static str, before: &str, value: String, behind: &str) -> Case {
    Case { rule, line: format!("{before}{value}{behind}"), value }
}

/// What must be found.
fn found() -> Vec<Case> {
    let hex = |count: usize| DIGITS[..count].to_owned();
    let word = || ["Tr0ub4", "dor&3x"].concat();
    let basic = || ["b2FrOlRyMHVi", "NGRvciYzeA=="].concat();
    let jwt = || ["eyJhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiJvYWsifQ.", &LETTERS[..43]].concat();
    let mut cases = provider_cases();
    cases.extend([
        case("join_token", "mesh-ctl join ", join_token(), ""),
        case("join_token", "(", join_token(), "-_ and more)"),
        case("mesh_key_file", "", letters(&["node-", "key "], 43), ""),
        case("private_key", "", ["-----BEGIN OPENSSH ", "PRIVATE KEY-----"].concat(), ""),
        case(
            "private_key",
            "\"private_key\": \"",
            ["-----BEGIN ", "PRIVATE KEY-----"].concat(),
            "\\nMIIE",
        ),
        case("private_key", "", ["-----BEGIN PGP ", "PRIVATE KEY BLOCK-----"].concat(), ""),
        case("jwt", "cookie: s=", jwt(), ""),
        case("bearer", "curl -H 'Authorization: Bearer ", letters(&[], 40), "' https://x.test"),
        case("basic", "Authorization: Basic ", basic(), ""),
        case("url_userinfo", "postgres://oak:", word().replace('&', "-"), "@db.test/mesh"),
        case("url_userinfo", "https://", letters(&[], 40), "@git.test/x.git"),
        case("command_line", "vault login --token ", letters(&[], 24), ""),
        case("command_line", "mount --password='", ["correct", "horse"].concat(), "' x"),
        case("command_line", "[\"run\", \"--api-key\", \"", letters(&[], 24), "\"]"),
        case("command_line_short", "zip -p '", word(), "' a.zip"),
        case("command_line_short", "sshpass -p ", ["hunter", "22"].concat(), " ssh oak"),
        case("command_line_short", "mysql -u root -p", ["hunter", "22"].concat(), " mesh"),
        case("command_line_short", "curl -s -u oak:", ["hunter", "22"].concat(), " https://x.test"),
        case("assigned_secret", "{\"bot_token\": \"", letters(&[], 32), "\"}"),
        case("assigned_secret", "apiKey: ", letters(&[], 32), ""),
        case("assigned_secret", "api-key = '", letters(&[], 32), "'"),
        case("assigned_secret", "export DB_PASSWORD=", word(), ""),
        case("assigned_secret", "const secret = `", letters(&[], 20), "`;"),
        case("assigned_secret", "const token: string = \"", letters(&[], 20), "\";"),
        case("assigned_secret", "{\\\"token\\\":\\\"", letters(&[], 20), "\\\"}"),
        case("assigned_secret", "<password>", word().replace('&', "-"), "</password>"),
        case("assigned_secret", "os.environ['TOKEN'] = '", letters(&[], 20), "'"),
        case(
            "assigned_secret",
            "process.env.setdefault(\"API_TOKEN\", \"",
            letters(&[], 20),
            "\")",
        ),
        case("assigned_secret", "ENV TOKEN ", letters(&[], 20), ""),
        case("assigned_secret", "?access_token=", letters(&[], 20), "&x=1"),
        case(
            "assigned_secret",
            "api_key = ",
            "0f3c5a7e-91b2-4d6f-8a0c-e2b4d6f81a3c".to_owned(),
            "",
        ),
        case("hex_beside_word", "the token is ", hex(64), ""),
        case("hex_beside_word", "password ... ", hex(32), " (old)"),
        case("hex_beside_word", "use ", hex(32), " as the token"),
    ]);
    cases
}

fn provider_cases() -> Vec<Case> {
    let hook =
        || ["https://hooks.slack.com/ser", "vices/T0FAKE000/B0FAKE000/", &LETTERS[..24]].concat();
    let telegram = || ["1234567890", ":AA", &LETTERS[..33]].concat();
    vec![
        case("aws_access_key", "id ", ["AK", "IAQ7XW2VKTB4RN6PML"].concat(), ""),
        case("gcp_key", "", letters(&["AI", "za"], 35), ""),
        case("gcp_key", "", letters(&["GOC", "SPX-"], 28), ""),
        case("github_token", "", letters(&["gh", "p_"], 36), ""),
        case("github_token", "", letters(&["github", "_pat_"], 60), ""),
        case("gitlab_token", "", letters(&["gl", "pat-"], 20), ""),
        case("slack_token", "", letters(&["xo", "xb-1234567890-"], 24), ""),
        case("slack_token", "", hook().replace("https://", ""), ""),
        case("stripe_key", "", letters(&["sk_", "live_"], 24), ""),
        case("anthropic_key", "", letters(&["sk-", "ant-api03-"], 60), ""),
        case("openai_key", "", letters(&["sk-", "proj-"], 48), ""),
        case("npm_token", "", letters(&["np", "m_"], 36), ""),
        case("pypi_token", "", letters(&["py", "pi-AgEIcHlwaS5vcmc"], 60), ""),
        case("tailscale_key", "", letters(&["ts", "key-auth-kQ7Xw2CNTRL-"], 32), ""),
        case("telegram_bot_token", "bot ", telegram(), ""),
        case("telegram_bot_token", "https://api.telegram.org/bot", telegram(), "/getMe"),
        case("huggingface_token", "", letters(&["h", "f_"], 34), ""),
    ]
}

/// What must pass.
fn passing() -> Vec<(&'static str, String)> {
    let altered = join_token().replacen("meshjoin1_B", "meshjoin1_C", 1);
    let cases = [
        ("join_token", altered.as_str()),
        ("join_token", "meshjoin1_…"),
        ("mesh_key_file", "node-key is the name of the file"),
        ("private_key", "-----BEGIN PUBLIC KEY-----"),
        ("aws_access_key", "AKIAIOSFODNN7EXAMPLE"),
        ("gcp_key", "AIza<the key>"),
        ("github_token", "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
        ("gitlab_token", "glpat-…"),
        ("slack_token", "xoxb-your-token"),
        ("stripe_key", "pk_live_a1B2c3D4e5F6g7H8i9J0k1L2"),
        ("anthropic_key", "sk-ant-…"),
        ("openai_key", "class=\"sk-loading-spinner-container-inner\""),
        ("npm_token", "npm_config_registry=https://registry.test"),
        ("pypi_token", "pypi-publish-to-the-index-with-a-very-long-name-of-a-job-here"),
        ("tailscale_key", "tskey-auth-<id>-<secret>"),
        ("telegram_bot_token", "12:AA:BB:CC:DD:EE"),
        ("huggingface_token", "hf_hub_download"),
        ("jwt", "eyJ is how many of them begin"),
        ("bearer", "Authorization: Bearer authentication-token-required"),
        ("bearer", "Authorization: Bearer ${TOKEN}"),
        ("basic", "a basic introduction"),
        ("basic", "Authorization: Basic b2FrOnBhc3N3b3Jk"),
        ("url_userinfo", "postgres://user:password@localhost/mesh"),
        ("url_userinfo", "ssh://git@host.test/x.git"),
        ("url_userinfo", "https://host.test:8080/a@b"),
        ("command_line", "--token TOKEN, --password-file /run/x, --password is asked for"),
        ("command_line", "docker build --secret id=npm,src=.npmrc2 ."),
        (
            "command_line_short",
            "docker run -p '8080:80' x; cargo build -p 'mesh-node'; mkdir -p '/a/b1'",
        ),
        ("assigned_secret", "token = request.headers.authorization"),
        ("assigned_secret", "16 => TrafficSecrets::Aes128Gcm { key, iv },"),
        ("assigned_secret", "TrafficSecret => \"CLIENT_TRAFFIC_SECRET_0\","),
        ("command_line_short", "curl -u \"oak:$PASSWORD\" https://x.test"),
        ("command_line_short", "grep -p '(?m)^[a-z0-9]+$' x"),
        ("assigned_secret", "token_file: /run/secrets/bot2Token9x1Y"),
        ("assigned_secret", "password = os.environ[\"PASSWORD_2\"]"),
        ("assigned_secret", "token: op://vault/item9/Field8x7Q"),
        ("assigned_secret", "const token = createToken1(user)"),
        ("assigned_secret", "token_id = 0f3c5a7e-91b2-4d6f-8a0c-e2b4d6f81a3c"),
        (
            "hex_beside_word",
            "secrets.txt sha256: 4f9a1c7e0b3d8265e1f7a9c04d6b3821957ce0a8f2b4d61370c9e5a8b1d2f463",
        ),
        ("hex_beside_word", "4f9a1c7e0b3d8265e1f7a9c04d6b3821  secret"),
        ("hex_beside_word", "a token of 32 digits"),
    ];
    cases.map(|(rule, line)| (rule, line.to_owned())).into()
}

fn of(rule: &str) -> impl Fn(&Case) -> bool + '_ {
    move |case| case.rule == rule
}

#[test]
fn every_rule_has_a_line_that_is_found_and_one_that_passes() {
    // These three are not about lines; their own tests are below.
    let elsewhere = ["table_secret", "secret_file", "secret_value"];
    let mut ids = BTreeMap::new();
    for (id, what) in rules() {
        assert!(ids.insert(id.as_str(), what).is_none(), "{id} twice");
        let is_here = found().iter().any(of(id.as_str()))
            && passing().iter().any(|(rule, _)| *rule == id.as_str());
        assert!(is_here || elsewhere.contains(&id.as_str()), "{id}");
    }
    assert_eq!(
        found().iter().find(|case| !ids.contains_key(case.rule)).map(|case| case.rule),
        None
    );
}

#[test]
fn what_must_be_found_is_found_where_it_stands_and_never_repeated() {
    for Case { rule, line, value } in found() {
        let content = format!("first line\n{line}\nlast line\n");
        let found = Scanner::default().scan_text("notes/deploy.md", content.as_bytes(), 0).unwrap();
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert_eq!((found[0].rule.as_str(), found[0].line), (rule, 2), "{line}");
        let start = line.find(&value).unwrap() as u64 + 1;
        let columns = start..start + value.len() as u64;
        assert!(columns.contains(&found[0].column), "{line}: {}", found[0]);
        for shown in
            [found[0].to_string(), format!("{found:?}"), serde_json::to_string(&found).unwrap()]
        {
            assert!(!shown.contains(&value), "{shown}");
        }
    }
}

#[test]
fn what_must_pass_passes() {
    for (rule, line) in passing() {
        let found = Scanner::default().scan_text("a.txt", line.as_bytes(), 0).unwrap();
        assert_eq!(found, [], "{rule}: {line}");
    }
}

#[test]
fn cells_below_a_head_for_secrets_are_found_and_others_pass() {
    for head in ["Token", "hash", "API key", "**Secret**", "Key"] {
        let table = format!(
            "| agent | {head} | commit |\n|:--|--:|---|\n| oak | `{}` | {} |\n| elm | <token> | x |\n\n| oak | {} |\n",
            &LETTERS[..30],
            &DIGITS[..40],
            &LETTERS[..30],
        );
        let found = Scanner::default().scan_text("a.md", table.as_bytes(), 0).unwrap();
        assert_eq!(found.len(), 1, "{head} {found:?}");
        assert_eq!(
            (found[0].rule.as_str(), found[0].line, found[0].column),
            ("table_secret", 3, 10)
        );
    }
    for head in ["commit", "public key", "token id", "name", "sha256 hash"] {
        let table = format!("{head} | agent\n--- | ---\n{} | oak\n", &DIGITS[..40]);
        let found = Scanner::default().scan_text("a.md", table.as_bytes(), 0).unwrap();
        assert_eq!(found, [], "{head}");
    }
}

#[test]
fn a_file_is_told_by_its_name() {
    for name in [
        ".env",
        "a/.env.production",
        "id_ed25519",
        "x/ID_RSA",
        "tls/server.pem",
        "bot.session",
        "node.key",
    ] {
        let found = Scanner::default().scan_text(name, b"", 0).unwrap();
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!((found[0].rule.as_str(), found[0].line, found[0].column), ("secret_file", 0, 0));
        assert_eq!(
            found[0].to_string(),
            format!("{name}: a file that usually holds secrets (rule secret_file)")
        );
    }
    for name in [".env.example", "id_ed25519.pub", "environment", "session.rs", "pem.md", "keys.rs"]
    {
        assert_eq!(Scanner::default().scan_text(name, b"", 0).unwrap(), [], "{name}");
    }
}

#[test]
fn a_secret_in_a_name_is_found_and_not_shown() {
    let token = letters(&["gh", "p_"], 36);
    for name in [format!("a/{token}.txt"), token.clone(), format!("{token}/{token}")] {
        let content = format!("x\npassword = \"{}\"", &LETTERS[..20]);
        let found = Scanner::default().scan_text(&name, content.as_bytes(), 0).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(!format!("{found:?}").contains(&token));
        assert!(found[0].name.contains("[secret]"), "{found:?}");
    }
}

#[test]
fn a_finding_reads_as_a_sentence_about_a_place() {
    let value = json!({"rule": "telegram_bot_token", "line": 12, "column": 8});
    let content =
        format!("{}bot is {}{}", "\n".repeat(11), "1234567890", [":AA", &LETTERS[..33]].concat());
    let found = Scanner::default().scan_text("notes/deploy.md", content.as_bytes(), 0).unwrap();
    assert_eq!(found[0].line, value["line"]);
    let shown = found[0].to_string();
    assert!(shown.starts_with("notes/deploy.md:12:"), "{shown}");
    assert!(shown.ends_with(": a Telegram bot token (rule telegram_bot_token)"), "{shown}");
}
