#!/usr/bin/env bash
# Installs what building and testing need, where it is missing: Debian packages as root (or with
# sudo). Rust itself comes from the distribution or from rustup; it is only checked here.
set -euo pipefail

least_rust=1.91

fail() {
    echo "setup: $*" >&2
    exit 1
}

command -v cargo >/dev/null || fail "no cargo found: install Rust $least_rust or newer"
rust=$(rustc --version | awk '{print $2}')
[ "$(printf '%s\n%s\n' "$least_rust" "$rust" | sort -V | head -n 1)" = "$least_rust" ] ||
    fail "Rust $rust is older than $least_rust"

missing=()
for pair in gcc:gcc g++:g++ cmake:cmake pkg-config:pkg-config valgrind:valgrind python3:python3 \
    chromium:chromium chromedriver:chromium-driver parallel:parallel meson:meson \
    help2man:help2man dpkg-shlibdeps:dpkg-dev gst-launch-1.0:gstreamer1.0-tools; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
pkg-config --exists opencv4 2>/dev/null || missing+=(libopencv-dev)
pkg-config --exists gstreamer-video-1.0 2>/dev/null || missing+=(libgstreamer-plugins-base1.0-dev)
has_element() { gst-inspect-1.0 --exists "$1" 2>/dev/null; }
has_element videotestsrc || missing+=(gstreamer1.0-plugins-base)
has_element pngdec || missing+=(gstreamer1.0-plugins-good)
[ ${#missing[@]} -eq 0 ] && exit 0

command -v apt-get >/dev/null || fail "please install: ${missing[*]}"
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
echo "setup: installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null
