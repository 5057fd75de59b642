#!/usr/bin/env bash
# The library without tract and std, linked into the C example and stripped, stays within its limits:
# with everything and every kernel of this processor's architecture, and in its smallest form, which
# also refuses what it leaves out. After scripts/check_no_panic.sh, which builds the first.
set -euo pipefail
cd "$(dirname "$0")/.."

# within MOST_BYTES LIBRARY
within() {
    local program bytes
    program=$(dirname "$2")/segment_image
    gcc -O2 -Wl,--gc-sections -Iinclude bindings/c/examples/segment_image.c "$2" -lm -o "$program"
    strip "$program"
    bytes=$(stat -c %s "$program")
    echo "$bytes bytes of at most $1"
    [ "$bytes" -le "$1" ]
}

within 575000 target/firmware/libzsseg.a
cargo rustc --locked --quiet --profile firmware --lib --crate-type staticlib \
    --no-default-features --features capi
within 400000 target/firmware/libzsseg.a
cargo test --locked --quiet --no-default-features --features capi --test left_out
