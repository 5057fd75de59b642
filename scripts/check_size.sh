#!/usr/bin/env bash
# The library without tract and std, linked into the C example with every kernel of this processor's
# architecture and stripped, stays within its limit. After scripts/check_no_panic.sh, which builds it.
set -euo pipefail
cd "$(dirname "$0")/.."

most_bytes=670000
program=target/firmware/segment_image
gcc -O2 -Wl,--gc-sections -Iinclude bindings/c/examples/segment_image.c \
    target/firmware/libzsseg.a -lm -o "$program"
strip "$program"
bytes=$(stat -c %s "$program")
echo "$bytes bytes of at most $most_bytes"
[ "$bytes" -le "$most_bytes" ]
