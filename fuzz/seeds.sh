#!/usr/bin/env bash
# Adds what a search begins with to fixtures/fuzz: the golden bytes of the wire and texts of every kind. The first byte names the
# reader, by its place in the list of mesh-fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
python3 - <<'PYTHON'
import pathlib

fixtures = pathlib.Path("fixtures")
golden = fixtures / "wire/v1"


def seed(target, reader, name, content):
    folder = fixtures / "fuzz" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{name}").write_bytes(bytes([reader]) + content)


WIRE = ["frame_*", "message_*", "wire_message_*", "envelope", "record_*", "parcel", None, "transaction_part_*", "snapshot_chunk",
        "push_*", "event_*", "manifest_page"]
for reader, pattern in enumerate(WIRE):
    for source in golden.glob(f"{pattern}.hex"):
        seed("wire", reader, source.stem, bytes.fromhex(source.read_text()))
# A link state's bytes stand behind the label and its zero byte.
_, _, link_state = bytes.fromhex((golden / "signing_link_state.hex").read_text()).partition(b"\0")
seed("wire", 6, "link_state", link_state)
push = {source.stem: bytes.fromhex(source.read_text()) for source in golden.glob("push_*.hex")}
seed("wire", 12, "git", bytes([3]) + b"\1\4\0\0\0pack" + b"\2\2\0\0\0no" + b"\3\5\0\0\0\1gone")
seed("wire", 13, "bundle", push["push_offer"] + push["push_page_ids"] + push["push_page"] + push["push_chunk"])
seed("wire", 14, "replies", push["push_answer"] + push["push_result_verified"] + push["push_result_confirmed"])
seed("wire", 15, "path", "site/größe/index.html".encode())

CONFIG = b"""// the mesh
{
  "$revision": "r1", /* who */ agents: { 'oak': { "name": 'O"k', port: 0x1F, }, },
  "list": [1, .5, +7, "it's", null, true,], // end
}
"""
seed("text", 0, "config", CONFIG)
seed("text", 1, "merge", b'{"a":{"b":1,"c":2},"d":1}\0{"a":{"b":1,"c":3},"e":1}\0{"a":{"b":0,"c":2},"d":1,"e":1}')
# A token's body: mesh, issuer, id, expiry, secret, two addresses.
addresses = [b"192.0.2.7:13500", b"mint.example:13500"]
body = b"\x3e" * 32 + b"\xb1" * 32 + b"\x70" * 16 + (1793534400000).to_bytes(8, "little") + b"\x5c" * 32
body += bytes([len(addresses)]) + b"".join(len(a).to_bytes(2, "little") + a for a in addresses)
seed("text", 2, "token_body", body)
seed("text", 3, "key_file", b"# keys\nmesh-keys 1\nnode-key " + b"A" * 43 + b"\nstore-key " + b"A" * 43 + b"\n")
seed("text", 4, "allow_list", b'[[allow]]\nrule = "telegram_bot_token"\nname = "docs/*.md"\nreason = "an example"\nexpires = 2027-01-31\n')
seed("text", 5, "scan", b'\7export API_KEY="x"\n| agent | token |\n|---|---|\n| oak | - |\npassword: hunter22\n')
seed("text", 5, "scan_wide", b"\7\xff\xfep\0w\0d\0=\0a\0\n\0")
seed("text", 6, "tailscale", (fixtures / "tailscale/status-running.json").read_bytes()[:3500])
for source in golden.glob("*.json"):
    seed("text", 7, source.stem, source.read_bytes())
for name, word in {"address": "[fd7a::1]:13500", "key": 'agents."a.b".port', "name": "mint.example"}.items():
    seed("text", 8, name, word.encode())

REQUESTS = {
    "status": ("GET", "/v1/status", ""),
    "token": ("POST", "/v1/tokens", '{"ttl_seconds":60,"note":"n"}'),
    "revoke": ("DELETE", "/v1/tokens/a1a1", ""),
    "join": ("POST", "/v1/join", '{"token":"meshjoin1_x"}'),
    "send": ("POST", "/v1/messages", '{"to":"oak","app_type":"text","data":{"text":"hi"},"wait_seconds":1}'),
    "inbox": ("GET", "/v1/inbox?limit=2&from=mint", ""),
    "follow": ("GET", "/v1/inbox/follow?limit=2", ""),
    "sql": ("POST", "/v1/sql", '{"sql":"SELECT ?","params":[1,{"blob":"AA=="}]}'),
    "transaction": ("POST", "/v1/transaction", '{"statements":[{"sql":"DELETE FROM notes"}]}'),
    "watch": ("GET", "/v1/watch?table=notes", ""),
    "config": ("POST", "/v1/config", '{"key":"agents.oak.port","value":1}'),
    "history": ("GET", "/v1/config/history?limit=3", ""),
    "push": ("POST", "/v1/push", '{"to":["oak"],"root":"default","paths":["/srv/a"],"destination":"a"}'),
    "pushes": ("GET", "/v1/pushes?limit=2", ""),
    "acks": ("POST", "/v1/inbox/ack", '{"message_ids":[]}'),
}
for name, (method, path, body) in REQUESTS.items():
    seed("text", 9, f"request_{name}", f"{method} {path}\n{body}".encode())

# Choices: any bytes are some order of events.
for target, readers in {"delivery": 3, "files": 7, "membership": 4, "sync": 2}.items():
    for reader in range(readers):
        for step in (1, 7, 13, 37, 53, 91, 111, 150, 199, 233)[: 4 if readers > 4 else 10]:
            seed(target, reader, f"{reader}-{step}", bytes(i * step % 251 for i in range(120)))
page = bytes.fromhex((golden / "manifest_page.hex").read_text())
seed("files", 0, "manifest", b"\0" + len(page).to_bytes(2, "little") + page)
PYTHON
