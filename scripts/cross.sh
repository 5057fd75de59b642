#!/usr/bin/env bash
# Sets up a cross build and runs a command in it: scripts/cross.sh TARGET [COMMAND...]
#
# TARGET is one of
#   x86_64-unknown-linux-gnu       64-bit PC Linux, to compare the others with
#   aarch64-unknown-linux-gnu      64-bit ARM Linux
#   armv7-unknown-linux-gnueabihf  32-bit ARM Linux
#   thumbv7em-none-eabihf          Cortex-M4F and M7F, bare metal
#   thumbv8m.main-none-eabihf      Cortex-M33 to M85 with a floating-point unit, bare metal
#   cortex-m33                     Cortex-M33 and M35P with DSP instructions and a floating-point unit,
#   cortex-m55                     Cortex-M55 and M85 with MVE and a floating-point unit: the target
#                                  before with -C target-cpu, built in a folder of its own of target/
#
# COMMAND sees CARGO_BUILD_TARGET, a linker, an emulator that runs tests, and a Rust that has a
# standard library for TARGET; without one, the static library is built: the plan engine with the
# C API, no tract. For example
#
#   scripts/cross.sh aarch64-unknown-linux-gnu cargo test --no-default-features --features std --lib
#
# What is missing is installed: by rustup where its servers answer, else from Debian's packages
# (as root or with sudo).
set -euo pipefail
cd "$(dirname "$0")/.."

target=${1:-}
[ $# -gt 0 ] && shift
case $target in
    x86_64-unknown-linux-gnu)
        packages=(gcc libc6-dev)
        prefix=
        runner=
        ;;
    aarch64-unknown-linux-gnu)
        packages=(gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)
        prefix=aarch64-linux-gnu
        runner="qemu-aarch64 -L /usr/aarch64-linux-gnu"
        ;;
    armv7-unknown-linux-gnueabihf)
        packages=(gcc-arm-linux-gnueabihf g++-arm-linux-gnueabihf libc6-dev-armhf-cross qemu-user)
        prefix=arm-linux-gnueabihf
        runner="qemu-arm -L /usr/arm-linux-gnueabihf"
        built_std=std,panic_unwind
        ;;
    thumbv7em-none-eabihf | thumbv8m.main-none-eabihf | cortex-m33 | cortex-m55)
        packages=(gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm)
        prefix=arm-none-eabi
        runner=
        built_std=core
        ;;
    *)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0" >&2
        exit 2
        ;;
esac

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Installs what is missing of the packages named.
packages() {
    local package missing=()
    for package in "$@"; do
        dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    echo "cross: installing ${missing[*]}" >&2
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >/dev/null
}

# Debian's Rust for the web has a current compiler and the source of its standard library. The
# prebuilt library for arm64 is only unpacked: installed, it would drag arm64's C library along.
debian_rust() {
    packages rustc-web cargo-web rust-web-src
    mkdir -p target/cross-bin
    ln -sf /usr/bin/cargo /usr/bin/rustc /usr/bin/rustdoc target/cross-bin/
    export PATH="$PWD/target/cross-bin:$PATH"
    if [ -n "${built_std:-}" ]; then
        export RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=$built_std
    elif [ ! -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
        unpack_std
    fi
}

unpack_std() {
    local version folder
    version=$(dpkg-query -W -f='${Version}' libstd-rust-web-dev)
    folder=$(mktemp -d)
    as_root dpkg --add-architecture arm64
    as_root apt-get update -qq
    (cd "$folder" && apt-get download -qq "libstd-rust-web-dev:arm64=$version")
    dpkg-deb --fsys-tarfile "$folder"/*.deb | as_root tar -xC / ./usr/lib/rustlib
    as_root dpkg --remove-architecture arm64
    as_root apt-get update -qq
    rm -rf "$folder"
}

# Rust has no targets of their own for them; in folders of their own they leave the other target's
# build be.
if [[ $target == cortex-m* ]]; then
    export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/$target
    export RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }-C target-cpu=$target"
    target=thumbv8m.main-none-eabihf
fi

packages "${packages[@]}"
if ! { command -v rustup >/dev/null && rustup target add "$target" >/dev/null 2>&1; }; then
    debian_rust
fi

variable=$(echo "$target" | tr 'a-z.-' 'A-Z__')
export CARGO_BUILD_TARGET=$target
# Build scripts are linked for this machine: with another linker they would be built anew.
[ -z "$prefix" ] || export "CARGO_TARGET_${variable}_LINKER=$prefix-gcc"
[ -z "$runner" ] || export "CARGO_TARGET_${variable}_RUNNER=$runner"
# tract asks the kernel's list of processor features, which under the emulator is the host's.
export TRACT_CPU_ARM32_NEON=1

if [ $# -gt 0 ]; then
    exec "$@"
fi
case $target in
    *-linux-*) profile=release features=std,capi ;;
    *) profile=firmware features=capi ;;
esac
cargo rustc --locked --profile $profile --lib --crate-type staticlib \
    --no-default-features --features $features
ls -l "${CARGO_TARGET_DIR:-target}/$target/$profile/libzsseg.a"
