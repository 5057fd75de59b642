#!/usr/bin/env bash
# The GStreamer element: its tests, then the plugin as people use it, through gst-inspect-1.0 and
# gst-launch-1.0.
#
# ZSSEG_COMMAND names a `zsseg` command whose masks the element's are compared with, and
# COMPARE_MASKS the program that does so (examples/compare_masks.rs).
set -euo pipefail
cd "$(dirname "$0")/.."

build=target/gstreamer-build
picture=tests/data/chelsea.png
bundle=models/voc11-lite0-zs.zsb
command=${ZSSEG_COMMAND:-target/release/zsseg}
compare=${COMPARE_MASKS:-target/release/examples/compare_masks}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cargo fmt --check -p zsseg-gstreamer
cargo clippy --locked --quiet --release --all-targets -p zsseg-gstreamer --target-dir "$build" -- \
    -D warnings
cargo test --locked --release -p zsseg-gstreamer --target-dir "$build" | tee "$work/log"
cargo build --locked --quiet --release -p zsseg-gstreamer --target-dir "$build"
passed=$(awk '/^test result: ok/ {sum += $4} END {print sum + 0}' "$work/log")

# A registry of its own: the one at home keeps what it saw of a plugin.
export GST_PLUGIN_PATH=$build/release GST_REGISTRY=$work/registry
failed=0
check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        passed=$((passed + 1))
        echo "ok      $name"
    else
        failed=$((failed + 1))
        echo "FAILED  $name"
        head -n 40 "$work/out"
    fi
}

shows_element() {
    gst-inspect-1.0 zsseg >"$work/inspect" &&
        grep -q 'Zero-shot semantic segmentation' "$work/inspect" &&
        grep -q '^  add-class  ' "$work/inspect"
}
launch() { gst-launch-1.0 -q "$@"; }
picture_through() { # OUT ELEMENT...
    local out=$1
    shift
    launch filesrc location=$picture ! pngdec ! videoconvert ! video/x-raw,format=RGB ! \
        zsseg bundle=$bundle "$@" ! pngenc ! filesink location="$out"
}
same_mask() { # [NAME OF A CLASS]
    picture_through "$work/element.png" ${1:+add-class=$1} &&
        "$command" segment $picture ${1:+--add-class $1} -o "$work/command.png" &&
        "$compare" "$work/element.png" "$work/command.png" 1
}
fails_with() { # TEXT ELEMENT...
    local text=$1
    shift
    ! launch videotestsrc num-buffers=1 ! zsseg "$@" ! fakesink >"$work/error" 2>&1 &&
        grep -q "$text" "$work/error"
}
stream() {
    launch videotestsrc num-buffers=60 ! video/x-raw,format=NV12,width=640,height=480 ! \
        zsseg bundle=$bundle output=overlay ! videoconvert ! fakesink sync=false
}

check "gst-inspect-1.0 shows the element" shows_element
check "gst-launch-1.0 gives the command's mask" same_mask
check "gst-launch-1.0 gives the command's mask with a class added" same_mask cat
check "a stream of sixty frames" stream
check "a missing bundle ends the pipeline" fails_with 'No such file' bundle=/nowhere.zsb
check "a broken bundle ends the pipeline" fails_with 'not a bundle' bundle=README.md
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
