//! Secrets in what is to be pushed: none leaves the machine, and none is repeated by whoever found it.

use std::fs;
use std::path::Path;

use mesh_control::{PushErrorView, PushState, PushTargetState, PushesQuery};
use mesh_protocol::{PushReason, PushStep};

use super::desk::{Pair, detail, pair, states, tree, write};

/// Letters and digits in no order. Every secret here is put together from pieces, so that no file of the project holds one.
const LETTERS: &str = "Zq7Xw2Vk9Tb4Rn6Pm1Lj8Hg3Fd5Sa0YuIeOcQxWvEzKtUbRyNiMpLoJhGfDsAa";
const DIGITS: &str = "4f9a1c7e0b3d8265e1f7a9c04d6b3821957ce0a8f2b4d61370c9e5a8b1d2f463";

/// A rule, a line that it finds, and the part of the line that nobody may repeat.
struct Case {
    rule: &'static str,
    line: String,
    value: String,
}

fn case(rule: &'static str, before: &str, value: &[&str], behind: &str) -> Case {
    let value = value.concat();
    Case { rule, line: format!("{before}{value}{behind}"), value }
}

/// Every kind that is promised to be found.
fn cases(join_token: &str) -> Vec<Case> {
    let letters = |count: usize| &LETTERS[..count];
    let table = format!("| agent | token |\n|---|---|\n| oak | {} |", letters(30));
    vec![
        case("join_token", "mesh-ctl join ", &[join_token], ""),
        case("mesh_key_file", "", &["node-", "key ", letters(43)], ""),
        case("private_key", "", &["-----BEGIN OPENSSH ", "PRIVATE KEY-----"], ""),
        case("aws_access_key", "id ", &["AK", "IAQ7XW2VKTB4RN6PML"], ""),
        case("gcp_key", "", &["AI", "za", letters(35)], ""),
        case("github_token", "", &["gh", "p_", letters(36)], ""),
        case("gitlab_token", "", &["gl", "pat-", letters(20)], ""),
        case("slack_token", "", &["xo", "xb-1234567890-", letters(24)], ""),
        case("stripe_key", "", &["sk_", "live_", letters(24)], ""),
        case("openai_key", "", &["sk-", "proj-", letters(48)], ""),
        case("anthropic_key", "", &["sk-", "ant-api03-", letters(60)], ""),
        case("npm_token", "", &["np", "m_", letters(36)], ""),
        case("pypi_token", "", &["py", "pi-AgEIcHlwaS5vcmc", letters(60)], ""),
        case("tailscale_key", "", &["ts", "key-auth-kQ7Xw2CNTRL-", letters(32)], ""),
        case("huggingface_token", "", &["h", "f_", letters(34)], ""),
        case("telegram_bot_token", "bot ", &["1234567890", ":AA", letters(33)], ""),
        case("jwt", "s=", &["eyJhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiJvYWsifQ.", letters(43)], ""),
        case("bearer", "curl -H 'Authorization: Bearer ", &[letters(40)], "' https://x.test"),
        case("basic", "Authorization: Basic ", &["b2FrOlRyMHVi", "NGRvciYzeA=="], ""),
        case("url_userinfo", "postgres://oak:", &["Tr0ub4", "dor-3x"], "@db.test/mesh"),
        case("command_line", "mount --password='", &["correct", "horse"], "' x"),
        case("command_line_short", "zip -p '", &["Tr0ub4", "dor&3x"], "' a.zip"),
        case("assigned_secret", "{\"bot_token\": \"", &[letters(32)], "\"}"),
        case("assigned_secret", "apiKey: ", &[letters(31)], ""),
        case("assigned_secret", "api-key = '", &[letters(30)], "'"),
        case("assigned_secret", "export DB_PASSWORD=", &["Tr0ub4", "dor&3y"], ""),
        case("assigned_secret", "const secret = `", &[letters(20)], "`;"),
        case("hex_beside_word", "the token is ", &[DIGITS], ""),
        case("hex_beside_word", "password ... ", &[&DIGITS[..32]], " (old)"),
        Case { rule: "table_secret", line: table, value: letters(30).to_owned() },
    ]
}

impl Pair {
    /// Why it did not leave the machine.
    async fn found(&self, path: &Path) -> PushErrorView {
        let push = self.push(path).await;
        assert_eq!(push.state, PushState::Ended);
        let error = push.error.clone().unwrap_or_else(|| panic!("{path:?} went: {push:?}"));
        assert_eq!((error.step, error.reason), (PushStep::Prepare, PushReason::SecretFound));
        error
    }

    /// Everything that the agents say or keep of pushes, but for the files themselves.
    async fn said(&self) -> String {
        let mut said = String::new();
        for agent in [&self.baulder, &self.mint] {
            said.push_str(&agent.log());
            let events = agent.client().events(1000).await.unwrap();
            said.push_str(&serde_json::to_string(&events).unwrap());
            let listed = PushesQuery { limit: Some(1000) };
            for push in agent.client().pushes(&listed).await.unwrap() {
                said.push_str(&serde_json::to_string(&detail(agent, &push).await).unwrap());
            }
            for file in ["mesh.db", "mesh.db-wal"] {
                let bytes = fs::read(agent.data_dir().join(file)).unwrap_or_default();
                said.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        said
    }
}

#[tokio::test]
async fn every_kind_of_secret_stops_a_push_with_file_line_and_rule_and_is_nowhere_repeated() {
    let pair = pair().await;
    let cases = cases(&pair.mint.token().await);
    let files = pair.dir.path().join("files");
    for (index, Case { rule, line, value }) in cases.iter().enumerate() {
        let name = format!("notes-{index}.md");
        let file = files.join(&name);
        write(&file, &format!("first line\n{line}\nlast line\n"), 0o644);
        let error = pair.found(&file).await;
        let line = 2 + line.matches('\n').count();
        assert!(error.detail.starts_with(&format!("{name}:{line}:")), "{}", error.detail);
        assert!(error.detail.contains(&format!("(rule {rule})")), "{rule}: {}", error.detail);
        assert!(!error.detail.contains(value.as_str()), "{rule}");
    }
    // All of them at once: the first ones are named, the others counted.
    let error = pair.found(&files).await;
    assert!(error.detail.contains(&format!("and {} more", cases.len() - 5)), "{}", error.detail);
    let said = pair.said().await;
    for Case { rule, value, .. } in cases.iter().filter(|case| case.value.len() > 31) {
        assert!(!said.contains(value.as_str()), "{rule} is in a log, an event or the database");
    }
    // Nobody but the sender heard of any of them.
    assert!(tree(&pair.on_mint).is_empty());
    let at_mint = pair.mint.client().pushes(&PushesQuery::default()).await.unwrap();
    assert!(at_mint.is_empty(), "{at_mint:?}");
}

#[tokio::test]
async fn files_that_hold_secrets_by_their_name_stop_a_push_whatever_is_in_them() {
    let pair = pair().await;
    for name in [".env", ".env.local", "id_ed25519", "server.pem", "bot.session", "node.key"] {
        let folder = pair.dir.path().join("conf");
        write(&folder.join("deep").join(name), "", 0o600);
        let error = pair.found(&folder).await;
        let expected = format!("deep/{name}: a file that usually holds secrets (rule secret_file)");
        assert_eq!(error.detail, expected);
        fs::remove_dir_all(folder).unwrap();
    }
    let passing = pair.dir.path().join("passing");
    for name in [".env.example", "id_ed25519.pub", "pem.md"] {
        write(&passing.join(name), "TOKEN=<your token>\n", 0o644);
    }
    assert_eq!(states(&pair.push(&passing).await), [PushTargetState::Confirmed]);
    // A secret in a name is not shown either.
    let token = ["gh", "p_", &LETTERS[..36]].concat();
    let file = pair.dir.path().join(format!("{token}.txt"));
    write(&file, "x", 0o644);
    let error = pair.found(&file).await;
    assert!(error.detail.contains("[secret]") && !error.detail.contains(&token), "{error:?}");
}

#[tokio::test]
async fn an_entry_with_a_reason_lets_one_pass_until_its_day_and_no_other() {
    let pair = pair().await;
    let token = ["1234567890", ":AA", &LETTERS[..33]].concat();
    let folder = pair.dir.path().join("manual");
    let page = folder.join("docs/bot.md");
    write(&page, &format!("the example\nbot {token}\n"), 0o644);
    let list = folder.join(".mesh-secrets-allow.toml");
    let entry = |name: &str, reason: &str, expires: &str| {
        format!(
            "[[allow]]\nrule = \"telegram_bot_token\"\nname = \"{name}\"\nreason = \"{reason}\"\nexpires = {expires}\n"
        )
    };
    let reason = "the manual's example, withdrawn";
    for (text, told) in [
        (entry("docs/*.md", reason, "2020-01-31"), "docs/bot.md:2:"),
        (entry("other/*.md", reason, "9999-12-31"), "docs/bot.md:2:"),
        (entry("docs/*.md", "", "9999-12-31"), "reason is empty"),
        (entry("docs/*.md", reason, "\"soon\""), "expiry is no date"),
        ("nonsense".to_owned(), "is not taken"),
    ] {
        write(&list, &text, 0o644);
        let error = pair.found(&folder).await;
        assert!(error.detail.contains(told), "{told}: {}", error.detail);
        assert!(!error.detail.contains(&token));
    }
    write(&list, &entry("docs/*.md", reason, "9999-12-31"), 0o644);
    assert_eq!(states(&pair.push(&folder).await), [PushTargetState::Confirmed]);
    let there = fs::read_to_string(pair.on_mint.join("manual/docs/bot.md")).unwrap();
    assert!(there.contains(&token));
    // Another rule, and another file, are found as before.
    write(&folder.join("docs/more.txt"), &format!("bot {token}\n"), 0o644);
    let error = pair.found(&folder).await;
    assert!(error.detail.starts_with("docs/more.txt:1:"), "{}", error.detail);
}

#[tokio::test]
async fn text_is_looked_through_to_its_end_in_utf_16_too_and_binary_files_by_their_name_alone() {
    let pair = pair().await;
    let token = ["gh", "p_", &LETTERS[..36]].concat();
    let write = |name: &str, bytes: Vec<u8>| {
        let path = pair.dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    // Behind eight MiB, and across every place at which a file may be read in pieces.
    let lines = "nothing of interest\n".repeat((8 << 20) / 20);
    let at_the_end = write("long.txt", format!("{lines}{token}\n").into_bytes());
    let error = pair.found(&at_the_end).await;
    let line = (8 << 20) / 20 + 1;
    assert!(error.detail.starts_with(&format!("long.txt:{line}:")), "{}", error.detail);
    for piece in [64 << 10, 256 << 10, 1 << 20, 4 << 20] {
        let mut text = vec![b'.'; piece - 20];
        *text.last_mut().unwrap() = b'\n';
        text.extend_from_slice(token.as_bytes());
        text.extend(vec![b'\n'; 100_000]);
        pair.found(&write("edge.txt", text)).await;
    }
    let utf16 = |text: &str| {
        let units = std::iter::once(0xfeff).chain(text.encode_utf16());
        units.flat_map(u16::to_le_bytes).collect()
    };
    let error = pair.found(&write("wide.txt", utf16(&format!("first\n{token}\n")))).await;
    assert!(error.detail.starts_with("wide.txt:2:"), "{}", error.detail);
    // A NUL near the beginning: not text, as documented; a NUL far behind makes text of nothing else.
    let binary = write("tool.bin", [b"\x7fELF\0\0", token.as_bytes(), b"\n"].concat());
    assert_eq!(states(&pair.push(&binary).await), [PushTargetState::Confirmed]);
    let mut late = vec![b'\n'; 64 << 10];
    late.extend_from_slice(token.as_bytes());
    late.extend([0; 16]);
    pair.found(&write("late.txt", late)).await;
    let key = write("tool.key", b"\x7fELF\0\0".to_vec());
    let error = pair.found(&key).await;
    assert!(error.detail.contains("(rule secret_file)"), "{}", error.detail);
}
