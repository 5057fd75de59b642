#!/bin/bash
# Installs into a temporary folder, moves it, and builds against it as users do, with pkg-config,
# with CMake and with Meson, the OpenCV example and the core of the ROS 2 package among them:
# scripts/test_install.sh BUILT
#
# TINY_BUNDLE as for scripts/test_c.sh.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: scripts/test_install.sh BUILT" >&2
    exit 2
fi
root=$(cd "$(dirname "$0")/.." && pwd)
libraries=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root"

tiny=${TINY_BUNDLE:-}
if [ -z "$tiny" ]; then
    tiny=$work/tiny.zsb
    CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/tiny cargo run --quiet --locked \
        --no-default-features --features std --example write_tiny_bundle -- "$tiny"
fi
tiny=$(realpath "$tiny")

# installed NAME: with spaces in the path, and moved after the installation.
installed() {
    scripts/install.sh "$work/first $1" "$libraries" >&2
    mv "$work/first $1" "$work/moved $1"
    echo "$work/moved $1"
}
both=$(installed both)
static=$(WITHOUT_SHARED=1 installed static)
deep=$(INSTALL_LIBDIR=lib/some-linux-gnu installed deep)
example=bindings/c/examples/list_classes.c

says_tiny() { "$@" "$tiny" | grep -q '^model    tiny$'; }
needs_shared() { readelf -d "$1" | grep -q 'NEEDED.*libzsseg'; }
not() { ! "$@"; } # a bare ! does not stop a script under set -e
stack_is_plain() { readelf -lW "$1" | grep GNU_STACK | grep -qv 'RWE'; }

# pkg-config quotes what needs it, so its words are the shell's to read.
with_pkg_config() { # LIBRARIES OUT
    local flags
    flags=$(PKG_CONFIG_PATH="$1/pkgconfig" pkg-config --cflags --libs --static zsseg)
    eval "gcc -std=c99 $example -o $2 $flags"
}
with_pkg_config "$static/lib" "$work/pc-static"
says_tiny "$work/pc-static"
not needs_shared "$work/pc-static"
stack_is_plain "$work/pc-static"
echo "ok      pkg-config, static"
with_pkg_config "$both/lib" "$work/pc-shared"
says_tiny env LD_LIBRARY_PATH="$both/lib" "$work/pc-shared"
needs_shared "$work/pc-shared"
echo "ok      pkg-config, shared"

cp -r tests/install "$work/app"
cp "$example" bindings/c/examples/file.h "$work/app/"
cmake_quiet() { cmake "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }; }
cmake_quiet -S "$work/app" -B "$work/app/build" -DCMAKE_PREFIX_PATH="$both"
cmake_quiet --build "$work/app/build"
says_tiny "$work/app/build/app"
not needs_shared "$work/app/build/app"
stack_is_plain "$work/app/build/app"
says_tiny "$work/app/build/app_shared"
needs_shared "$work/app/build/app_shared"
echo "ok      CMake, zsseg::zsseg and zsseg::shared"

# The folder for libraries that distributions want, reached through a link as /lib is on Debian.
ln -s "$deep/lib" "$work/link"
with_pkg_config "$deep/lib/some-linux-gnu" "$work/pc-deep"
says_tiny env LD_LIBRARY_PATH="$deep/lib/some-linux-gnu" "$work/pc-deep"
cmake_quiet -S "$work/app" -B "$work/app/deep" -Dzsseg_DIR="$work/link/some-linux-gnu/cmake/zsseg"
cmake_quiet --build "$work/app/deep"
says_tiny "$work/app/deep/app"
says_tiny "$work/app/deep/app_shared"
not env INSTALL_LIBDIR=/usr/lib64 scripts/install.sh "$work/absolute" "$libraries" 2>/dev/null
not test -e "$work/absolute"
echo "ok      another folder for libraries"

if cmake_quiet -S "$work/app" -B "$work/app/other" -DCMAKE_PREFIX_PATH="$both" \
    -DZSSEG_VERSION=99 2>/dev/null; then
    echo "find_package(zsseg 99) was satisfied" >&2
    exit 1
fi
echo "ok      CMake refuses another version"

meson_quiet() { meson "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }; }
PKG_CONFIG_PATH="$static/lib/pkgconfig" meson_quiet setup -Dstatic=true \
    "$work/app/meson" "$work/app"
meson_quiet compile -C "$work/app/meson"
says_tiny "$work/app/meson/app"
not needs_shared "$work/app/meson/app"
echo "ok      Meson"

cmake_quiet -S bindings/c -B "$work/examples" -DCMAKE_PREFIX_PATH="$both"
cmake_quiet --build "$work/examples"
says_tiny "$work/examples/list_classes"
echo "ok      bindings/c/CMakeLists.txt"
"$work/examples/segment_mat" models/voc11-lite0-zs.zsb tests/data/chelsea.png "$work/mat.png"
"$libraries/examples/compare_masks" "$work/mat.png" \
    tests/reference/voc11-lite0-zs/int8/chelsea.png 0.99
echo "ok      OpenCV"

cmake_quiet -S bindings/ros2 -B "$work/ros" -DCMAKE_PREFIX_PATH="$static" -DZSSEG_ROS_NODE=OFF \
    -DCMAKE_COMPILE_WARNING_AS_ERROR=ON -DCMAKE_CXX_FLAGS="-fsanitize=address,undefined"
cmake_quiet --build "$work/ros"
"$libraries/examples/convert_picture" tests/data/chelsea.png "$work/chelsea.ppm"
"$work/ros/test_core" models/voc11-lite0-zs.zsb "$work/chelsea.ppm" README.md
echo "ok      the core of the ROS 2 package"
echo "9 passed, 0 failed"
