#!/usr/bin/env bash
# Fuzzes the reader and the runner of plans for some seconds: scripts/fuzz_plan.sh SECONDS
#
# Starts from the plans of tests/plan, which that test writes down, and from what earlier runs
# found (target/fuzz/corpus). An input that fails stays in target/fuzz/found, and the script fails.
# Works with a stable compiler; `cargo fuzz run --fuzz-dir tests/fuzz plan -s none` does the same.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: scripts/fuzz_plan.sh SECONDS}
work="$PWD/target/fuzz"
triple=$(rustc -vV | sed -n 's/^host: //p')
# What cargo-fuzz sets: counters at the edges of the code, and the operands of comparisons.
coverage="--cfg fuzzing -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"

mkdir -p "$work/corpus" "$work/seeds" "$work/found"
ZSSEG_PLAN_SEEDS="$work/seeds" cargo test --locked --quiet --test plan
RUSTFLAGS="$coverage" cargo build --locked --quiet --release --manifest-path tests/fuzz/Cargo.toml \
    --target "$triple" --target-dir "$work/build"
"$work/build/$triple/release/plan" -max_total_time="$seconds" -max_len=16384 -timeout=300 \
    -rss_limit_mb=1024 -use_value_profile=1 -print_final_stats=1 \
    -artifact_prefix="$work/found/" "$work/corpus" "$work/seeds"
