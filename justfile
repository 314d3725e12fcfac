# Recipes for developers. The gate is .ci/run, which needs nothing but Rust, a C compiler and Python.

# Everything that is quick: format, lints, walls, spelling, documentation.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo fetch --locked
    cargo deny --offline --exclude-dev check bans licenses sources
    typos
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

# All tests, with the runner that is there.
test *ARGS:
    if cargo nextest --version >/dev/null 2>&1; then cargo nextest run --workspace {{ARGS}}; else cargo test --workspace {{ARGS}}; fi
    cargo test --workspace --doc

# Longer than at every push: NETNS_SPLIT_SECONDS=60 NETNS_PAUSE_SECONDS=90 just netns
# Real agents in network namespaces; needs root and iproute2.
netns *ARGS:
    if cargo nextest --version >/dev/null 2>&1; then runner="nextest run"; else runner=test; fi; \
      cargo $runner --workspace --features mesh-agent/netns --test netns {{ARGS}}

# Five real agents under kills, cuts, full disks and wrong clocks: just torture 7 10; needs root and iproute2. A failure
# prints its seed and schedule; TORTURE_SHRINK_MINUTES=60 looks for a shorter one, TORTURE_KEEP=DIR keeps the logs.
torture SEED MINUTES="10":
    TORTURE_SEED={{SEED}} TORTURE_SECONDS=$(({{MINUTES}} * 60)) \
      cargo test --workspace --features mesh-agent/netns --test torture -- --nocapture

# Three real agents on this machine.
demo:
    cargo demo

# Every figure with its ratio to the raw limit of the same run.
bench:
    cargo bench --workspace
    cargo figures

# The same on a quiet machine, into docs/performance.md.
performance: bench
    cargo figures --write

# Which changes of an engine's code its tests would not notice; needs cargo-mutants. A part of them: just mutants mesh-files 0/8
# Inputs that broke one of them are not kept: they would be tried against the others.
mutants CRATE SHARD="0/1":
    PROPTEST_DISABLE_FAILURE_PERSISTENCE=1 cargo mutants --package {{CRATE}} --shard {{SHARD}} --sharding round-robin --output target/mutants

# Looks at changed snapshots.
snap:
    cargo insta review

# Rewrites the golden files of the wire. For new kinds only: agents in the field speak the old bytes.
fixtures:
    UPDATE_GOLDEN=1 cargo test -p mesh-protocol golden
    git diff --stat fixtures/wire

# Searches for broken invariants, a minute with each target or as told: just fuzz 3600 wire sync
fuzz SECONDS="60" *TARGETS:
    fuzz/run.sh {{SECONDS}} {{TARGETS}}

# Puts the smallest inputs that reach everything a search reached into fixtures/fuzz.
fuzz-keep *TARGETS:
    fuzz/keep.sh {{TARGETS}}

# Starts a decision record with the next number: just decision a-title-in-words
decision TITLE:
    #!/usr/bin/env bash
    set -euo pipefail
    last=$(ls docs/decisions | sed -n 's/^\([0-9]\{4\}\)-.*/\1/p' | sort | tail -1)
    file=$(printf 'docs/decisions/%04d-%s.md' $((10#$last + 1)) '{{TITLE}}')
    printf '# %04d %s\n\n## Situation\n\n## Choice\n\n## Price\n' $((10#$last + 1)) '{{TITLE}}' > "$file"
    echo "$file"
