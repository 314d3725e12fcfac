#!/usr/bin/env bash
# After a search: keeps in fixtures/fuzz the smallest inputs that together reach what the search reached, at most 48 KiB for each
# target. What was found and mended (crash-…) and what a search begins with (seed-…) stays.
set -euo pipefail
cd "$(dirname "$0")"
mapfile -t targets < <(if [ $# -gt 0 ]; then printf '%s\n' "$@"; else sed -n 's/^name = "\([a-z]*\)"$/\1/p' Cargo.toml; fi)
host=$(rustc -vV | sed -n 's/^host: //p')
built="${FUZZ_TARGET_DIR:-$PWD/../target/fuzz}"
for target in "${targets[@]}"; do
  kept="../fixtures/fuzz/$target"
  small=$(mktemp -d)
  # Those that are kept come first; of the new ones, short before long.
  "$built/$host/release/$target" -merge=1 -max_len=1024 "$small" "$kept" "$built/search/$target/corpus" >/dev/null 2>&1
  find "$kept" -type f ! -name 'seed-*' ! -name 'crash-*' -delete
  bytes=0
  while read -r size input; do
    bytes=$((bytes + size))
    [ "$bytes" -le 49152 ] || break
    cp "$input" "$kept/$(basename "$input")"
  done < <(find "$small" -type f ! -name 'seed-*' ! -name 'crash-*' -printf '%s %p\n' | sort -n)
  rm -r "$small"
  echo "$target: $(find "$kept" -type f | wc -l) inputs, $(du -sb "$kept" | cut -f1) bytes"
done
