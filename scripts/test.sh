#!/usr/bin/env bash
# Every test of the project, from a fresh clone. The last line reads "N passed, N failed".
set -u
cd "$(dirname "$0")/.."
. scripts/steps.sh

references=tests/reference/voc11-lite0-zs/int8

# Masks from the command and from C, against ONNX Runtime's.
check_masks() {
    local work status=0 name
    work=$(mktemp -d)
    for name in chelsea astronaut; do
        target/release/zsseg segment "tests/data/$name.png" -o "$work/$name.png" >/dev/null &&
            target/release/examples/compare_masks "$work/$name.png" "$references/$name.png" 0.99 ||
            status=1
        target/release/zsseg segment "tests/data/$name.png" --add-class cat \
            -o "$work/$name.png" >/dev/null &&
            target/release/examples/compare_masks "$work/$name.png" \
                "$references/${name}_cat.png" 0.99 || status=1
    done
    rm -rf "$work"
    return $status
}

# The C and the C++ example, built here, on the compiled network and on the ONNX one.
check_example_masks() {
    local work status=0 name example bundle
    work=$(mktemp -d)
    local link="target/release/libzsseg.a $(cat cmake/native-static-libs.txt) -Wl,-z,noexecstack"
    gcc -O2 -Iinclude bindings/c/examples/segment_image.c $link -o "$work/c" || status=1
    g++ -O2 -std=c++17 -Iinclude -Ibindings/c/examples bindings/cpp/examples/segment_image.cpp \
        $link -o "$work/cpp" || status=1
    for name in chelsea astronaut; do
        target/release/examples/convert_picture "tests/data/$name.png" "$work/$name.ppm"
        for example in c cpp; do
            for bundle in models/voc11-lite0-zs.zsb models/voc11-lite0-zs-onnx.zsb; do
                "$work/$example" "$bundle" "$work/$name.ppm" "$work/mask.pgm" >/dev/null &&
                    target/release/examples/compare_masks "$work/mask.pgm" \
                        "$references/$name.png" 0.99 || status=1
            done
        done
    done
    rm -rf "$work"
    return $status
}

check_c_api() {
    local work status
    work=$(mktemp -d)
    target/release/examples/convert_picture tests/data/chelsea.png "$work/chelsea.ppm" &&
        scripts/test_c.sh target/release models/voc11-lite0-zs.zsb "$work/chelsea.ppm"
    status=$?
    rm -rf "$work"
    return $status
}

step "set up" scripts/setup.sh
step "release build" cargo build --release --locked --bins --lib --examples
step "masks from the command" check_masks
step "masks from C and C++" check_example_masks
step "C API" check_c_api
step "installation" scripts/test_install.sh target/release
step "Debian packages" scripts/test_deb.sh
step "native libraries" scripts/check_native_libs.sh
step "Rust tests" cargo test --locked
step "scale out" scripts/test_scale_out.sh target/release/zsseg
step "demo" scripts/test_demo.sh
finish
