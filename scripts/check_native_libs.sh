#!/bin/sh
# Compares cmake/native-static-libs.txt with what rustc says that libzsseg.a needs:
# scripts/check_native_libs.sh [CARGO OPTIONS]      (default: --release)
#
# Builds only what a `cargo build` with the same options has not built yet.
set -eu

cd "$(dirname "$0")/.."
if [ $# -eq 0 ]; then
    set -- --release
fi
committed=$(cat cmake/native-static-libs.txt)
said=$(cargo rustc --locked --lib --crate-type staticlib "$@" -- --print native-static-libs 2>&1 |
    sed -n 's/^note: native-static-libs: //p' | tail -n 1)

if [ "$said" != "$committed" ]; then
    echo "cmake/native-static-libs.txt has: $committed" >&2
    echo "rustc says:                       $said" >&2
    exit 1
fi
echo "native libraries are as rustc says: $said"
