#!/usr/bin/env bash
# Makes the seed corpus out of the golden files, so that there is one copy of the bytes.
set -euo pipefail
cd "$(dirname "$0")"
python3 - <<'PYTHON'
import pathlib

golden = pathlib.Path("../fixtures/wire/v1")
targets = {"frame": ["frame_*"], "message": ["message_*", "wire_message_*"], "envelope": ["envelope"], "record": ["record_*"], "routing": ["parcel"], "tables": ["transaction_part_*", "snapshot_chunk"]}
for target, patterns in targets.items():
    folder = pathlib.Path("seeds") / target
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in patterns:
        for source in golden.glob(pattern + ".hex"):
            (folder / source.stem).write_bytes(bytes.fromhex(source.read_text()))

# A link state's bytes stand behind the label and its zero byte.
_, _, link_state = bytes.fromhex((golden / "signing_link_state.hex").read_text()).partition(b"\0")
pathlib.Path("seeds/routing/link_state").write_bytes(link_state)

# A token's body: mesh, issuer, id, expiry, secret, two addresses.
addresses = [b"192.0.2.7:13500", b"mint.example:13500"]
body = b"\x3e" * 32 + b"\xb1" * 32 + b"\x70" * 16 + (1793534400000).to_bytes(8, "little") + b"\x5c" * 32
body += bytes([len(addresses)]) + b"".join(len(a).to_bytes(2, "little") + a for a in addresses)
folder = pathlib.Path("seeds/token")
folder.mkdir(parents=True, exist_ok=True)
(folder / "body").write_bytes(body)
(folder / "text").write_text("meshjoin1_not-a-token")
PYTHON
mkdir -p corpus/frame corpus/message corpus/envelope corpus/record corpus/routing corpus/tables corpus/token
