#!/usr/bin/env bash
# Builds firmware-examples/ and runs them under QEMU: kernels equal to the portable ones, equal masks
# everywhere, no heap and no panic in the C images, kept deadlines, and figures within
# firmware-examples/limits.txt, which it prints.
# scripts/cross.sh installs what is missing. The last line reads "N passed, N failed".
set -u
cd "$(dirname "$0")/.."
. scripts/steps.sh

c_example=firmware-examples/cortex-m-c
rtic_example=firmware-examples/cortex-m-rtic
kernel_test=firmware-examples/kernel-test
linux_example=firmware-examples/linux-sbc
bundle=models/tiny-road.zsb
picture=firmware-examples/data/road_160x120.nv12
boards=(mps2-an386 mps2-an500 mps2-an505 mps3-an547)
linux_targets=(x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu armv7-unknown-linux-gnueabihf)
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The value of a line "NAME VALUE" in a program's output.
value() { # FILE NAME
    awk -v name="$2" '$1 == name {print $2}' "$1"
}

# Appends what size says of an image to its output.
add_sizes() { # ELF FILE
    arm-none-eabi-size "$1" | awk 'NR == 2 {print "text", $1; print "data", $2; print "bss", $3}' >>"$2"
}

same_mask() { # CRC...
    local crc
    for crc in "$@"; do
        [ -n "$crc" ] && [ "$crc" = "$1" ] || { echo "masks differ: $*"; return 1; }
    done
    echo "mask-crc32 $1, $# times"
}

run_boards() {
    local board crcs=() make=(make --silent -C "$c_example" "TARGET_DIR=$target_dir" "OUT=$work")
    "${make[@]}" host && "$work/host" >"$work/host.txt" || return 1
    crcs+=("$(value "$work/host.txt" mask-crc32)")
    for board in "${boards[@]}"; do
        "${make[@]}" BOARD="$board" || return 1
        timeout 120 "${make[@]}" BOARD="$board" run >"$work/$board.txt" || {
            cat "$work/$board.txt"
            return 1
        }
        crcs+=("$(value "$work/$board.txt" mask-crc32)")
        add_sizes "$work/$board.elf" "$work/$board.txt"
    done
    same_mask "${crcs[@]}"
}

# The kernels of a board's processor against the portable ones.
kernels_are_equal() { # TARGET BOARD KERNELS
    CARGO_TARGET_DIR="$target_dir" scripts/cross.sh "$1" cargo build --quiet --release --locked \
        --manifest-path "$kernel_test/Cargo.toml" || return 1
    timeout 300 make --silent -C "$kernel_test" "TARGET_DIR=$target_dir" "OUT=$work" "BOARD=$2" run \
        >"$work/kernel-test-$2.txt"
    local status=$?
    cat "$work/kernel-test-$2.txt"
    [ $status -eq 0 ] && grep -qx "kernels $3" "$work/kernel-test-$2.txt"
}

# QEMU counts instructions, to the step of its SysTick.
counter_is_right() {
    local board counted
    for board in "${boards[@]}"; do
        counted=$(value "$work/$board.txt" counted-loop-instructions)
        echo "$board: 2000000 instructions are counted as $counted"
        [ "$counted" -ge 2000000 ] && [ "$counted" -lt 2001000 ] || return 1
    done
}

# The arena has the very size that the library asks for.
arena_is_exact() {
    local program
    for program in "${boards[@]}" cortex-m-rtic; do
        [ -n "$(value "$work/$program.txt" arena-bytes)" ] &&
            [ "$(value "$work/$program.txt" arena-bytes)" = \
                "$(value "$work/$program.txt" arena-needed-bytes)" ] ||
            { echo "$program: not what zsseg_arena_size() says"; return 1; }
    done
}

# No image has one of the symbols in it.
lacks() { # PATTERN ELF...
    local pattern=$1 image found
    shift
    for image in "$@"; do
        [ "$(arm-none-eabi-nm "$image" | wc -l)" -gt 50 ] || { echo "no symbols in $image"; return 1; }
        found=$(arm-none-eabi-nm -C "$image" | grep -E "$pattern")
        [ -z "$found" ] || { echo "$image: $found"; return 1; }
    done
}
heap=' (_?malloc|_?calloc|_?realloc|_?free|_?sbrk|_malloc_r|_sbrk_r|__rust_(no_)?alloc.*|__rdl_.*|__rg_.*)$'
panics='core::(panicking|fmt)|rust_begin_unwind|zsseg_on_panic'

build_rtic() { # [ARGUMENT...]
    CARGO_TARGET_DIR="$target_dir" scripts/cross.sh thumbv7em-none-eabihf \
        cargo build --quiet --release --locked --manifest-path "$rtic_example/Cargo.toml" "$@"
}

# Time stands still for QEMU's own work: an instruction takes 8 ns.
run_rtic() { # ELF OUT
    timeout 120 qemu-system-arm -M mps2-an386 -icount shift=3 -display none -monitor none \
        -serial none -chardev stdio,id=console \
        -semihosting-config enable=on,target=native,chardev=console -kernel "$1" </dev/null >"$2"
}

# Runs of the control task that ended later than 100 us after they were due.
missed_runs() { # FILE
    awk '/^control [0-9]+ began/ {missed += $6 > 100 * 25} END {print missed + 0}' "$1"
}

deadlines_are_kept() {
    local out=$work/cortex-m-rtic.txt image=$target_dir/thumbv7em-none-eabihf/release/cortex-m-rtic
    build_rtic && cp "$image" "$work/cortex-m-rtic.elf" && run_rtic "$image" "$out" || return 1
    add_sizes "$work/cortex-m-rtic.elf" "$out"
    local runs frame_ms
    runs=$(grep -c '^control [0-9]* began' "$out")
    frame_ms=$(($(value "$out" frame-us) / 1000))
    echo "$runs runs of the control task in $frame_ms ms, $(missed_runs "$out") missed;" \
        "longest slice $(value "$out" longest-slice-us) us"
    # Printing is part of frame-us, and the timer stands still meanwhile.
    [ "$(missed_runs "$out")" -eq 0 ] && [ "$(value "$out" missed)" -eq 0 ] &&
        [ "$runs" -gt 100 ] && [ "$runs" -le "$frame_ms" ] &&
        [ "$runs" -ge $((frame_ms - 50)) ] || return 1
    same_mask "$(value "$work/host.txt" mask-crc32)" "$(value "$out" mask-crc32)"
}

# With interrupts off the same measurement must show missed deadlines.
missed_deadlines_are_seen() {
    local out=$work/uninterrupted.txt image=$target_dir/thumbv7em-none-eabihf/release/cortex-m-rtic
    build_rtic --features uninterrupted && run_rtic "$image" "$out" || return 1
    echo "$(missed_runs "$out") missed"
    [ "$(missed_runs "$out")" -gt 0 ]
}

runner_of() { # TARGET
    case $1 in
        aarch64-*) echo qemu-aarch64 ;;
        armv7-*) echo qemu-arm ;;
    esac
}

run_linux() {
    local target program nv12=("$(value "$work/host.txt" mask-crc32)") yuyv=() crc=() runner
    python3 firmware-examples/data/draw_road.py "$work/road.nv12" &&
        cmp "$work/road.nv12" "$picture" &&
        python3 firmware-examples/data/draw_road.py "$work/road.yuyv" 320 240 || return 1
    cat "$work/road.nv12" "$work/road.nv12" >"$work/two.nv12"
    for target in "${linux_targets[@]}"; do
        make --silent -C "$linux_example" "TARGET_DIR=$target_dir" "OUT=$work" TARGET="$target" \
            2>"$work/link.txt" || { cat "$work/link.txt"; return 1; }
        program=$work/$target/masks
        readelf -d "$program" | grep -q 'no dynamic section' || { echo "$program is not static"; return 1; }
        runner=$(runner_of "$target")
        # Unquoted: on this machine there is no runner.
        $runner "$program" "$bundle" "$work/nv12" "$work/two.nv12" 160 120 >"$work/nv12.txt" &&
            $runner "$program" "$bundle" "$work/yuyv" "$work/road.yuyv" 320 240 >"$work/yuyv.txt" ||
            return 1
        mapfile -t crc < <(awk '$1 == "frame" {print $4}' "$work/nv12.txt")
        [ ${#crc[@]} -eq 2 ] || return 1
        nv12+=("${crc[@]}")
        yuyv+=("$(awk '$1 == "frame" {print $4}' "$work/yuyv.txt")")
        [ "$(head -c 15 "$work/yuyv-0.pgm" | tr '\n' ' ')" = "P5 320 240 255 " ] || return 1
        {
            echo "file-bytes $(stat -c %s "$program")"
            echo "arena-bytes $(value "$work/nv12.txt" arena-bytes)"
        } >"$work/$target.txt"
    done
    same_mask "${nv12[@]}" && same_mask "${yuyv[@]}"
}

# A camera's frames give the masks that a file's do, rows' padding or not; it is unplugged after two.
run_camera() {
    local make=(make --silent -C "$linux_example" "TARGET_DIR=$target_dir") format crc
    python3 firmware-examples/data/draw_road.py "$work/small.yuyv" || return 1
    "${make[@]}" "OUT=$work/camera" STATIC= TARGET="${linux_targets[0]}" &&
        "${make[@]}" "OUT=$work/camera" "$work/camera/fake_camera.so" || return 1
    for format in nv12 yuyv; do
        local frames=$work/fake_$format
        [ $format = nv12 ] && cp "$work/two.nv12" "$frames" ||
            cat "$work/small.yuyv" "$work/small.yuyv" >"$frames"
        FAKE_CAMERA=$frames LD_PRELOAD=$work/camera/fake_camera.so \
            "$work/camera/${linux_targets[0]}/masks" "$bundle" "$work/camera-mask" "$frames" 640 480 2 \
            >"$work/camera.txt" || return 1
        mapfile -t crc < <(awk '$1 == "frame" {print $4}' "$work/camera.txt")
        cp "$frames" "$work/file.$format"
        crc+=("$("$work/${linux_targets[0]}/masks" "$bundle" "$work/file" "$work/file.$format" 160 120 1 |
            awk '$1 == "frame" {print $4}')")
        [ ${#crc[@]} -eq 3 ] && same_mask "${crc[@]}" || return 1
    done
    refuses env FAKE_CAMERA="$frames" LD_PRELOAD="$work/camera/fake_camera.so" \
        "$work/camera/${linux_targets[0]}/masks" "$bundle" "$work/camera-mask" "$frames" 640 480 3
}

# An error with its reason; not a crash.
refuses() { # COMMAND...
    "$@" 2>"$work/refused.txt"
    local status=$?
    cat "$work/refused.txt"
    [ $status -eq 1 ] || [ $status -eq 2 ]
}
bad_input_is_refused() {
    local program=$work/${linux_targets[0]}/masks
    head -c 28000 "$picture" >"$work/short.nv12"
    refuses "$program" "$bundle" "$work/no" "$work/short.nv12" 160 120 &&
        refuses "$program" "$picture" "$work/no" "$picture" 160 120 &&
        refuses "$program" "$bundle" "$work/no" /dev/null 160 120 &&
        refuses "$program" "$bundle" "$work/no" /no/camera 160 120 &&
        refuses "$program" "$bundle" "$work/no" "$picture" 160 0
}

within_limits() {
    local program figure most found status=0
    while read -r program figure most; do
        case $program in '' | '#'*) continue ;; esac
        found=$(value "$work/$program.txt" "$figure")
        printf '%-29s %-19s %10s of %10s\n' "$program" "$figure" "${found:-nothing}" "$most"
        [ -n "$found" ] && [ "$found" -le "$most" ] || { echo "beyond its limit"; status=1; }
    done <firmware-examples/limits.txt
    return $status
}

for target in "${linux_targets[@]}" thumbv7em-none-eabihf thumbv8m.main-none-eabihf cortex-m33 cortex-m55; do
    step "library for $target" scripts/cross.sh "$target"
done
images=("${boards[@]/#/$work/}")
images=("${images[@]/%/.elf}")
step "kernels of M4" kernels_are_equal thumbv7em-none-eabihf mps2-an386 dsp
step "kernels of M33" kernels_are_equal cortex-m33 mps2-an505 dsp
step "kernels of M55" kernels_are_equal cortex-m55 mps3-an547 mve
step "equal masks on boards" run_boards
step "the counter counts instructions" counter_is_right
step "no heap in the C images" lacks "$heap" "${images[@]}"
step "no panic in the C images" lacks "$panics" "${images[@]}"
step "deadlines are kept" deadlines_are_kept
step "missed deadlines are seen" missed_deadlines_are_seen
step "no heap in the RTIC image" lacks "$heap" "$work/cortex-m-rtic.elf"
step "arenas are exact" arena_is_exact
step "equal masks on Linux boards" run_linux
step "frames of a camera" run_camera
step "bad input is refused" bad_input_is_refused
step "sizes are within limits" within_limits
finish
