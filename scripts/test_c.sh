#!/bin/bash
# Tests the C and C++ API: scripts/test_c.sh LIBDIR [NETWORK.zsb PICTURE.ppm]
#
# LIBDIR holds libzsseg.a. Without a bundle that holds a network the tests that need one are left
# out; add_class runs on it only if it knows the word cat. TINY_BUNDLE may name a bundle of
# examples/write_tiny_bundle.rs with words.zsb and cosine.zsb beside it; otherwise all three are
# written.
# Needs gcc, g++ and valgrind; uses clang and 32-bit compilers where there are any.
set -u

if [ $# -ne 1 ] && [ $# -ne 3 ]; then
    echo "usage: scripts/test_c.sh LIBDIR [NETWORK.zsb PICTURE.ppm]" >&2
    exit 2
fi
root=$(cd "$(dirname "$0")/.." && pwd)
library=$(realpath "$1")/libzsseg.a
network=()
if [ $# -eq 3 ]; then
    [ -f "$2" ] && [ -f "$3" ] || { echo "no $2 or no $3" >&2; exit 2; }
    network=("$(realpath "$2")" "$(realpath "$3")")
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root" || exit 2

passed=0
failed=0
# step NAME COMMAND...: runs the command; its output is shown only when it fails.
step() {
    local name=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1))
        echo "ok      $name$(sed -n 's/^\(tests\|C++\): \(.*\)/  (\2)/p' "$work/log")"
    else
        failed=$((failed + 1))
        echo "FAILED  $name"
        head -n 60 "$work/log"
    fi
}
has() { command -v "$1" >/dev/null 2>&1; }

for tool in gcc g++ valgrind; do
    has $tool || { echo "needs $tool" >&2; exit 2; }
done
[ -f "$library" ] || { echo "no $library: run \`cargo build --release\` first" >&2; exit 2; }

tiny=${TINY_BUNDLE:-}
write_tiny() { # OUT.zsb [KIND]
    # In a folder of its own: with other features cargo would replace LIBDIR's libraries.
    CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/tiny cargo run --quiet --locked \
        --no-default-features --features std --example write_tiny_bundle -- "$@" || exit 1
}
if [ -z "$tiny" ]; then
    tiny=$work/tiny.zsb
    write_tiny "$tiny"
    write_tiny "$work/words.zsb" words
    write_tiny "$work/cosine.zsb" cosine
fi
words=$(dirname "$tiny")/words.zsb
c_bundles=("$tiny" "$words" "$(dirname "$tiny")/cosine.zsb")
cxx_bundles=("$tiny" "$words")

c_compilers=(gcc)
cxx_compilers=(g++)
if has clang && has clang++; then
    c_compilers+=(clang)
    cxx_compilers+=(clang++)
fi
# DWARF 4, because the valgrind of Debian 12 cannot read what clang writes by default.
warnings=(-g -gdwarf-4 -Wall -Wextra -pedantic -Wconversion -Wshadow -Werror)
includes=(-Iinclude -Ibindings/c/examples)
read -ra native <cmake/native-static-libs.txt
link=("$library" "${native[@]}" -Wl,-z,noexecstack)
c_tests=(tests/c/main.c tests/c/support.c tests/c/test_*.c)

build_c() { # OUT COMPILER...
    local out=$1
    shift
    "$@" "${warnings[@]}" "${includes[@]}" "${c_tests[@]}" "${link[@]}" -o "$out"
}
build_cxx() {
    local out=$1
    shift
    "$@" "${warnings[@]}" "${includes[@]}" tests/c/test_cpp.cpp "${link[@]}" -o "$out"
}
layout() { # COMPILER...
    "$@" "${warnings[@]}" -Iinclude -fsyntax-only tests/c/test_layout.c
}

# The header alone, in every language it promises.
for cc in "${c_compilers[@]}"; do
    for std in c99 c11 c17; do
        step "header and layout, $cc $std" layout "$cc" -std=$std
    done
    step "header and layout, $cc 32-bit" layout "$cc" -std=c11 -m32 -ffreestanding
    step "header and layout, $cc short enums" layout "$cc" -std=c99 -fshort-enums
done
for cxx in "${cxx_compilers[@]}"; do
    for std in c++11 c++17 c++20; do
        step "header and layout, $cxx $std" layout "$cxx" -std=$std -x c++
    done
done
if has arm-none-eabi-gcc; then
    step "header and layout, arm-none-eabi-gcc" \
        layout arm-none-eabi-gcc -std=c99 -ffreestanding
fi

# The example in the header's first comment is a program.
{
    echo '#include <stdlib.h>'
    echo '#include "zsseg.h"'
    echo 'void example(const void *bundle, size_t bundle_bytes, uint8_t *rgb, uint8_t *labels);'
    echo 'void example(const void *bundle, size_t bundle_bytes, uint8_t *rgb, uint8_t *labels) {'
    sed -n '/life of a segmenter/,/^ \* Status/s/^ \*     //p' include/zsseg.h
    echo '}'
} >"$work/example.c"
step "the header's example" gcc -std=c11 "${warnings[@]}" -Iinclude -c "$work/example.c" \
    -o "$work/example.o"

# The tests, compiled in every way and run.
for cc in "${c_compilers[@]}"; do
    for std in c99 c11; do
        step "build the tests, $cc $std" build_c "$work/c-$cc-$std" "$cc" -std=$std
    done
    step "run the tests, $cc" "$work/c-$cc-c99" "${c_bundles[@]}" "${network[@]}"
done
for cxx in "${cxx_compilers[@]}"; do
    for std in c++17 c++20; do
        step "build the C++ tests, $cxx $std" build_cxx "$work/x-$cxx-$std" "$cxx" -std=$std
        step "run the C++ tests, $cxx $std" "$work/x-$cxx-$std" "${cxx_bundles[@]}" \
            "${network[@]}"
    done
    step "build the C++ tests, $cxx without exceptions" \
        build_cxx "$work/x-$cxx-none" "$cxx" -std=c++17 -fno-exceptions -fno-rtti
    step "run the C++ tests, $cxx without exceptions" "$work/x-$cxx-none" "${cxx_bundles[@]}"
done

# The examples.
example() { # OUT SOURCE COMPILER...
    local out=$1 source=$2
    shift 2
    "$@" "${warnings[@]}" "${includes[@]}" "$source" "${link[@]}" -o "$out"
}
for cc in "${c_compilers[@]}"; do
    step "build list_classes, $cc" \
        example "$work/list_classes" bindings/c/examples/list_classes.c "$cc" -std=c99
    step "build segment_image, $cc" \
        example "$work/segment_image" bindings/c/examples/segment_image.c "$cc" -std=c99
    step "build add_class, $cc" \
        example "$work/add_class" bindings/c/examples/add_class.c "$cc" -std=c99
    for name in step_rtos bench; do
        step "build $name, $cc" example "$work/$name" bindings/c/examples/$name.c "$cc" -std=c99
    done
done
for cxx in "${cxx_compilers[@]}"; do
    step "build segment_image.cpp, $cxx" \
        example "$work/segment_image_cpp" bindings/cpp/examples/segment_image.cpp "$cxx" -std=c++17
    step "build add_class.cpp, $cxx" \
        example "$work/add_class_cpp" bindings/cpp/examples/add_class.cpp "$cxx" -std=c++17
    for name in step_rtos bench; do
        step "build $name.cpp, $cxx" \
            example "$work/${name}_cpp" bindings/cpp/examples/$name.cpp "$cxx" -std=c++17
    done
done
step "list_classes" "$work/list_classes" "$tiny"
refused() { ! "$@"; }
step "list_classes refuses what is no bundle" refused "$work/list_classes" "$library"
# Cut after 0, 5, 12... bytes: the picture reader is part of the examples' promise.
printf 'P6\n# comment\n2 2\n255\n123456789012' >"$work/whole.ppm"
printf 'P6\n99999999 99999999\n255\n' >"$work/huge.ppm"
bad_pictures() {
    local bytes
    for ((bytes = 0; bytes < 34; bytes++)); do
        head -c $bytes "$work/whole.ppm" >"$work/short.ppm"
        "$work/segment_image" "$tiny" "$work/short.ppm" && return 1
    done
    ! "$work/segment_image" "$tiny" "$work/huge.ppm"
}
step "segment_image refuses pictures that are cut off" bad_pictures
# Without a network add_class prints what classes cost.
add_class_costs() { # PROGRAM
    local way
    "$1" "$words" "$work/whole.ppm" dog >"$work/costs.txt" || return 1
    cat "$work/costs.txt"
    for way in row embedding word; do
        grep -Eq "^$way +[0-9]+ bytes a class, +[0-9]+ bytes once, +[0-9.]+ us$" \
            "$work/costs.txt" || return 1
    done
    grep -q '^dog has label 3$' "$work/costs.txt"
}
unknown_word() { # PROGRAM
    ! "$1" "$words" "$work/whole.ppm" unicorn 2>"$work/log2" &&
        grep -q 'a word is not in the bundle' "$work/log2"
}
for program in add_class add_class_cpp; do
    step "$program tells what classes cost" add_class_costs "$work/$program"
    step "$program refuses an unknown word" unknown_word "$work/$program"
done
same_classes() {
    "$work/add_class" "${network[@]}" cat "$work/c.pgm" &&
        "$work/add_class_cpp" "${network[@]}" cat "$work/cpp.pgm" &&
        cmp "$work/c.pgm" "$work/cpp.pgm"
}
same_masks() {
    "$work/segment_image" "${network[@]}" "$work/c.pgm" >"$work/c.txt" &&
        "$work/segment_image_cpp" "${network[@]}" "$work/cpp.pgm" >"$work/cpp.txt" &&
        cmp "$work/c.pgm" "$work/cpp.pgm" && cmp "$work/c.txt" "$work/cpp.txt"
}
if [ ${#network[@]} -gt 0 ]; then
    step "segment_image gives the same from C and C++" same_masks
    for name in step_rtos step_rtos_cpp; do
        step "$name gives the mask of one call" "$work/$name" "${network[@]}"
    done
    for name in bench bench_cpp; do
        step "$name" "$work/$name" "${network[@]}" 2
        step "$name on threads" "$work/$name" "${network[@]}" 2 3
        step "$name refuses a count of frames" refused "$work/$name" "${network[@]}" 0
    done
    if "$work/list_classes" "${network[0]}" | grep -Eq '^words +[1-9]'; then
        step "add_class gives the same from C and C++" same_classes
    fi
fi

# Under valgrind, which watches the library's reads and writes too. Buffers have exact sizes.
# It runs one thread at a time: in turn, or a thread that waits for another may wait for good.
under_valgrind=(valgrind --quiet --error-exitcode=9 --leak-check=full --fair-sched=yes)
step "valgrind: tests" "${under_valgrind[@]}" "$work/c-gcc-c99" "${c_bundles[@]}"
step "valgrind: C++ tests" "${under_valgrind[@]}" "$work/x-g++-c++17" "${cxx_bundles[@]}"
step "valgrind: list_classes" "${under_valgrind[@]}" "$work/list_classes" "$tiny"
step "valgrind: add_class" "${under_valgrind[@]}" "$work/add_class" "$words" "$work/whole.ppm" dog
if [ ${#network[@]} -gt 0 ]; then
    step "valgrind: segment_image" "${under_valgrind[@]}" "$work/segment_image" "${network[@]}"
fi

# With the sanitizers in the C side. nm proves that they are really in.
sanitize=(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
step "build the tests with ASan and UBSan" build_c "$work/c-asan" gcc -std=c99 "${sanitize[@]}"
step "build the C++ tests with ASan and UBSan" \
    build_cxx "$work/x-asan" g++ -std=c++17 "${sanitize[@]}"
is_in() { nm "$1" | grep -q __asan_init && nm "$1" | grep -q __ubsan_handle; }
step "ASan and UBSan are in the tests" is_in "$work/c-asan"
step "ASan and UBSan are in the C++ tests" is_in "$work/x-asan"
step "ASan and UBSan: tests" "$work/c-asan" "${c_bundles[@]}" "${network[@]}"
step "ASan and UBSan: C++ tests" "$work/x-asan" "${cxx_bundles[@]}" "${network[@]}"

if [ ${#network[@]} -eq 0 ]; then
    echo "no bundle with a network was given: the tests that need one were left out"
fi
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
