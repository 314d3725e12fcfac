#!/usr/bin/env bash
# Searches with every target, two at a time: fuzz/run.sh SECONDS [TARGET…]
#
# A compiler of any channel and a C++ compiler are enough: what cargo-fuzz would pass to rustc is passed here, without a
# sanitizer of memory, which code without `unsafe` has no use for.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:?"how many seconds for each target?"}
shift
mapfile -t targets < <(if [ $# -gt 0 ]; then printf '%s\n' "$@"; else sed -n 's/^name = "\([a-z]*\)"$/\1/p' Cargo.toml; fi)

if ! command -v c++ >/dev/null; then
  echo "no C++ compiler for libFuzzer: not searched"
  exit 0
fi
host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR="${FUZZ_TARGET_DIR:-$PWD/../target/fuzz}"
# With a target named, scripts and macros are built without these.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
cargo build --release --quiet --target "$host"

work="$CARGO_TARGET_DIR/search"
search() {
  local target=$1
  mkdir -p "$work/$target/corpus" "$work/$target/found"
  if "$CARGO_TARGET_DIR/$host/release/$target" "$work/$target/corpus" "../fixtures/fuzz/$target" \
    -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 \
    -artifact_prefix="$work/$target/found/" >"$work/$target/log" 2>&1; then
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$target/log") inputs," \
      "$(grep -o 'cov: [0-9]* ft: [0-9]*' "$work/$target/log" | tail -1)"
  else
    tail -50 "$work/$target/log"
    echo "$target: found something; the input is in $work/$target/found"
    return 1
  fi
}
export -f search
export work seconds host
printf '%s\n' "${targets[@]}" | xargs -P "${FUZZ_JOBS:-2}" -I{} bash -c 'set -eu; search {}'
