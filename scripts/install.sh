#!/bin/sh
# Installs the C and C++ API: scripts/install.sh PREFIX [BUILT]
#
# BUILT is where `cargo build --release` left the libraries (default: target/release). DESTDIR is
# put before PREFIX, as packagers expect. INSTALL_LIBDIR is the folder under PREFIX for libraries,
# pkg-config and CMake files, such as lib64 or lib/x86_64-linux-gnu (default: lib).
# WITHOUT_SHARED=1 leaves out the shared library. What is installed knows no absolute path: the
# folder may be moved as a whole.
set -eu

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "usage: scripts/install.sh PREFIX [BUILT]" >&2
    exit 2
fi
root=$(cd "$(dirname "$0")/.." && pwd)
libraries=${2:-${CARGO_TARGET_DIR:-$root/target}/release}
to=${DESTDIR:-}$1
lib=${INSTALL_LIBDIR:-lib}
case /$lib/ in
    //* | */./* | */../*)
        echo "INSTALL_LIBDIR is a folder under PREFIX such as lib64, not $lib" >&2
        exit 2
        ;;
esac
# From there back to PREFIX.
up=$(echo "$lib" | sed 's|[^/][^/]*|..|g')

version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
# The same rule as in build.rs.
case $version in
    0.*) abi=$(echo "$version" | cut -d . -f 1,2) ;;
    *) abi=${version%%.*} ;;
esac
native_libs=$(cat "$root/cmake/native-static-libs.txt")

if [ ! -f "$libraries/libzsseg.a" ]; then
    echo "no libzsseg.a in $libraries: run \`cargo build --release\` first" >&2
    exit 1
fi
if [ -f "$libraries/zsseg.h" ] && ! cmp -s "$libraries/zsseg.h" "$root/include/zsseg.h"; then
    echo "the libraries in $libraries were built from another include/zsseg.h" >&2
    exit 1
fi

fill() { # TEMPLATE TARGET
    sed -e "s|@VERSION@|$version|g" -e "s|@NATIVE_LIBS@|$native_libs|g" \
        -e "s|@NATIVE_LIBS_LIST@|$(echo "$native_libs" | tr ' ' ';')|g" \
        -e "s|@SONAME@|libzsseg.so.$abi|g" -e "s|@LIBDIR@|$lib|g" -e "s|@UP@|$up|g" \
        "$root/cmake/$1" >"$2"
    chmod 644 "$2"
}

mkdir -p "$to/include" "$to/$lib/pkgconfig" "$to/$lib/cmake/zsseg"
install -m 644 "$root/include/zsseg.h" "$root/include/zsseg.hpp" "$to/include/"
install -m 644 "$libraries/libzsseg.a" "$to/$lib/"
if [ -z "${WITHOUT_SHARED:-}" ] && [ -f "$libraries/libzsseg.so" ]; then
    install -m 755 "$libraries/libzsseg.so" "$to/$lib/libzsseg.so.$version"
    ln -sf "libzsseg.so.$version" "$to/$lib/libzsseg.so.$abi"
    ln -sf "libzsseg.so.$abi" "$to/$lib/libzsseg.so"
fi
fill zsseg.pc.in "$to/$lib/pkgconfig/zsseg.pc"
fill zssegConfig.cmake.in "$to/$lib/cmake/zsseg/zssegConfig.cmake"
fill zssegConfigVersion.cmake.in "$to/$lib/cmake/zsseg/zssegConfigVersion.cmake"
echo "installed zsseg $version in $to"
