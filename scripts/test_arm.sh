#!/usr/bin/env bash
# ARM Linux under emulators. The unit tests for 64-bit ARM on a processor with NEON alone
# (Cortex-A53), with `dotprod` (Neoverse N1) and with `i8mm`; each run names the sets of kernels that
# it must find, and a trace of one run shows that the instructions of each were executed. Masks of
# the shipped model, with a class added by its name too, are those of this machine to the last
# pixel, on 32-bit ARM as well. The command with tract gives the mask of the shipped ONNX network and
# compiles it to the same plans. The firmware build cannot panic. The last line reads "N passed,
# N failed".
set -u
cd "$(dirname "$0")/.."
. scripts/steps.sh

target=aarch64-unknown-linux-gnu
features=(--no-default-features --features "std,capi")
sysroot=/usr/aarch64-linux-gnu
host=x86_64-unknown-linux-gnu
armv7=armv7-unknown-linux-gnueabihf
bundle=models/voc11-lite0-zs.zsb
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The unit tests on an emulated processor that offers the given sets of kernels; those that further
# arguments name.
unit_tests() {
    QEMU_CPU=$1 ZSSEG_TEST_KERNELS=$2 scripts/cross.sh "$target" \
        cargo test --locked --quiet --lib "${features[@]}" -- "${@:3}"
}

# Instruction words of the products: `smlal` of bytes, `sdot` by vector and by lane, `usmmla`.
declare -A words=(
    [smlal]='0e[23][0-9a-f]8[0-3][0-9a-f]{2}'
    [sdot]='4e[89][0-9a-f]9[4-7][0-9a-f]{2}'
    [sdot_lane]='4f[89ab][0-9a-f]e[0-389ab][0-9a-f]{2}'
    [usmmla]='4e[89][0-9a-f]a[c-f][0-9a-f]{2}'
)

# Whether tests of products, on an emulated processor, execute exactly the given instructions. The
# trace has the word of each translated instruction, whether the emulator can name it or not.
executes() {
    local cpu=$1 test trace name found wanted=" ${*:2} " status=0
    test=$(scripts/cross.sh "$target" cargo test --locked --lib --no-run \
        --message-format=json "${features[@]}" 2>/dev/null |
        sed -nE 's/.*"executable":"([^"]*)".*/\1/p' | tail -n 1)
    trace=$(mktemp)
    qemu-aarch64 -cpu "$cpu" -L "$sysroot" -d in_asm -D "$trace" "$test" --quiet \
        math::network::gemm_tests::u8_results math::linear_i8 >/dev/null || status=1
    for name in "${!words[@]}"; do
        found=$(grep -cE "^0x[0-9a-f]+: +${words[$name]} " "$trace")
        echo "$cpu: $found places with $name were executed"
        case $wanted in
            *" $name "*) [ "$found" -gt 0 ] || status=1 ;;
            *) [ "$found" -eq 0 ] || status=1 ;;
        esac
    done
    rm -f "$trace"
    return $status
}

# As scripts/check_no_panic.sh. The SHA-256 of sha2 for this processor indexes a table of 64 with
# constants below 64, which the smallest code does not show.
cannot_panic() {
    local library=${CARGO_TARGET_DIR:-target}/$target/firmware/libzsseg.a found
    scripts/cross.sh "$target" cargo rustc --locked --quiet --profile firmware --lib \
        --crate-type staticlib --no-default-features --features capi,float-layers,fusion || return 1
    found=$(aarch64-linux-gnu-objdump -dr --no-show-raw-insn "$library" 2>/dev/null |
        awk '/^[0-9a-f]+ <.*>:$/ { caller = $2; functions++ }
            caller ~ /core.*(slice_index_fail|9panicking)|sha2.*aarch64_sha2/ { next }
            /R_.*(9panicking|_fail|unwrap_failed|3fmt|__rust_alloc)/ { print caller, $NF }
            END { if (functions < 100) print "only", functions + 0, "functions" }')
    [ -z "$found" ] || { echo "$found"; return 1; }
}

# Programs for a target against the same ones for this machine.
picture() {
    [ -x target/release/examples/convert_picture ] ||
        cargo build --locked --quiet --release --example convert_picture || return
    target/release/examples/convert_picture tests/data/chelsea.png "$work/picture.ppm"
}
programs() { # TARGET COMPILER
    scripts/cross.sh "$1" && mkdir -p "$work/$1" || return
    local program
    for program in segment_image add_class; do
        "$2" -O2 -DTURNS=1u -Iinclude "bindings/c/examples/$program.c" \
            "${CARGO_TARGET_DIR:-target}/$1/release/libzsseg.a" -Wl,--gc-sections -lm -lpthread -ldl \
            -o "$work/$1/$program" || return
    done
}
masks() { # TARGET EMULATOR...
    local folder=$work/$1
    "${@:2}" "$folder/segment_image" "$bundle" "$work/picture.ppm" "$folder/mask.pgm" >/dev/null &&
        "${@:2}" "$folder/add_class" "$bundle" "$work/picture.ppm" cat "$folder/cat.pgm" >/dev/null
}
same_masks() { # TARGET EMULATOR...
    masks "$@" && cmp "$work/$host/mask.pgm" "$work/$1/mask.pgm" &&
        cmp "$work/$host/cat.pgm" "$work/$1/cat.pgm" && ! cmp -s "$work/$1/mask.pgm" "$work/$1/cat.pgm"
}

# The command, for this machine and for 64-bit ARM; tract's objects are optimised little, which builds
# them in half the time.
commands() {
    [ -x target/release/zsseg ] || cargo build --locked --quiet --release --bin zsseg || return
    scripts/cross.sh "$target" cargo build --locked --quiet --no-default-features --features cli \
        --config 'profile.dev.package."*".opt-level=1' --bin zsseg
}
same_command() {
    local arm=(qemu-aarch64 -L "$sysroot" "${CARGO_TARGET_DIR:-target}/$target/debug/zsseg")
    local onnx=models/voc11-lite0-zs-onnx.zsb plan
    "${arm[@]}" segment -b "$onnx" tests/data/chelsea.png -o "$work/arm.png" >/dev/null &&
        target/release/zsseg segment -b "$onnx" tests/data/chelsea.png -o "$work/host.png" >/dev/null &&
        cmp "$work/arm.png" "$work/host.png" || return
    for plan in x86-64 aarch64; do
        "${arm[@]}" compile --target $plan "$onnx" -o "$work/arm.zsb" &&
            target/release/zsseg compile --target $plan "$onnx" -o "$work/host.zsb" >/dev/null &&
            cmp "$work/arm.zsb" "$work/host.zsb" || return
    done
}

step "NEON alone" unit_tests cortex-a53 neon,portable
# Beyond NEON only integer kernels differ.
step "dotprod" unit_tests neoverse-n1 dotprod,neon,portable math:: --skip f32
step "i8mm" unit_tests max i8mm,dotprod,neon,portable math:: --skip f32
step "instructions of NEON" executes cortex-a53 smlal
step "instructions of dotprod" executes neoverse-n1 smlal sdot sdot_lane
step "instructions of i8mm" executes max smlal sdot sdot_lane usmmla
step "the firmware build cannot panic" cannot_panic
step "picture" picture
step "programs for this machine" programs $host gcc
step "masks of this machine" masks $host
step "programs for 64-bit ARM" programs $target aarch64-linux-gnu-gcc
for cpu in cortex-a53 neoverse-n1 max; do
    step "equal masks, $cpu" same_masks $target qemu-aarch64 -cpu $cpu -L $sysroot
done
step "the command with tract for 64-bit ARM" commands
step "its mask and plans" same_command
step "programs for 32-bit ARM" programs $armv7 arm-linux-gnueabihf-gcc
step "equal masks, 32-bit" same_masks $armv7 qemu-arm -L /usr/arm-linux-gnueabihf
finish
