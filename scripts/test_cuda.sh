#!/usr/bin/env bash
# Tests of the CUDA path (feature `train-cuda`) on a machine without a GPU: every kernel compiled
# for every generation of devices, and the engine run on the processor, in both orders of threads
# and under AddressSanitizer. Needs g++, Python and, once, PyPI for NVRTC.
#
# The compiler comes from a private virtual environment in target/cuda. `ZSSEG_NVRTC_LIB` names a
# folder with libnvrtc.so instead.
set -u
cd "$(dirname "$0")/.."
. scripts/steps.sh

work="$PWD/target/cuda"
features=(--locked --features kernel-sim,train-nccl)

# Prints the folder of NVRTC.
nvrtc_folder() {
    if [ -n "${ZSSEG_NVRTC_LIB:-}" ]; then
        echo "$ZSSEG_NVRTC_LIB"
        return
    fi
    [ -d "$work/venv" ] || python3 -m venv "$work/venv" >&2 || return
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check \
        'nvidia-cuda-nvrtc==13.0.*' >&2 || return
    local library
    library=$(find "$work/venv" -name 'libnvrtc.so.13' | head -1)
    [ -n "$library" ] && dirname "$library"
}

compile_everything() {
    local folder
    folder=$(nvrtc_folder) || return
    LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" ZSSEG_REQUIRE_NVRTC=1 \
        cargo test "${features[@]}" --test cuda_build
}

# Runs the simulated tests; arguments are variables for them.
simulate() {
    env XDG_CACHE_HOME="$work/cache" "$@" cargo test "${features[@]}" --test train_cuda
}

# The runtime goes in front of everything, and knows nothing of what Rust never frees. Without the
# tests of many sizes, whose fibers take minutes under it.
simulate_with_asan() {
    local runtime binary
    runtime=$(g++ -print-file-name=libasan.so)
    binary=$(cargo test "${features[@]}" --test train_cuda --no-run --message-format=json |
        sed -n 's/.*"executable":"\([^"]*train_cuda-[^"]*\)".*/\1/p' | tail -1)
    env XDG_CACHE_HOME="$work/cache" ZSSEG_SIM_ASAN=1 \
        ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0 LD_PRELOAD="$runtime" \
        "$binary" --test-threads 2 --skip ragged_sizes --skip widths --skip wide_features \
        --skip shared_work
}

step "every kernel for every device" compile_everything
step "simulated engine" simulate
step "simulated engine, threads in the opposite order" simulate ZS_SIM_REVERSE=1
step "simulated engine under AddressSanitizer" simulate_with_asan
step "the suite for a GPU builds" cargo test "${features[@]}" --test train_gpu --no-run
finish
