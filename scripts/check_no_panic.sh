#!/usr/bin/env bash
# The firmware build of the C API cannot panic: nothing in it refers to core's panic machinery, and
# neither to a formatter nor to an allocator.
set -euo pipefail
cd "$(dirname "$0")/.."

library=target/firmware/libzsseg.a
cargo rustc --locked --quiet --profile firmware --lib --crate-type staticlib \
    --no-default-features --features capi,float-layers,fusion
functions=$(nm "$library" 2>/dev/null | grep -c ' T zsseg_')
[ "$functions" -gt 20 ] || { echo "only $functions functions in $library" >&2; exit 1; }
found=$(objdump -dr --no-show-raw-insn "$library" 2>/dev/null | awk '
    /^[0-9a-f]+ <.*>:$/ { caller = $2 }
    /R_.*(9panicking|_fail|unwrap_failed|3fmt|__rust_alloc)/ { print caller, $NF }')
if [ -n "$found" ]; then
    echo "$found" >&2
    exit 1
fi
echo "$functions functions, none of which refers to a panic"
