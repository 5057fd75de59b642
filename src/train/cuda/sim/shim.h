// Runs CUDA kernels on the processor, for tests without a GPU.
//
// A .cu file compiles as it is:
//   g++ -std=c++17 -O2 -shared -fPIC -include shim.h -x c++ FILE.cu -o FILE.so
// and for AddressSanitizer with `-fsanitize=address -fsanitize-sections=zs_shared -g` on top.
//
// All threads of a block are fibers of one thread of the operating system; a fiber runs until its
// next barrier, a warp until its next barrier for the block. Blocks run one after the other. So a
// run repeats bit for bit. With the environment variable `ZS_SIM_REVERSE=1` the blocks, and the
// warps and threads between two barriers, run in the opposite order: results that change show a
// race.
//
// Shared memory holds NaN (all bits 1) when a block starts. A barrier that not all of its threads
// reach ends the launch with an error.
//
// What it does not show: races within more than two orders, memory order, speed, spilled
// registers, limits of shared memory, the rounding of the device's own exp2f and logf.
//
// Exported: `zs_sim_launch`, whose arguments are those of cuLaunchKernel, and `zs_sim_error`.
// A kernel is found by the name that `ZS_EXPORT(name)` gave.
//
// Not there, on purpose: atomics on floating-point numbers (their order is not fixed).
// `__shared__` variables must not be in inline functions or templates.
#pragma once
#define ZS_CPU_SIM 1

#include "language.h"
#include "fibers.h"
#include "memory.h"
#include "tensor_core.h"
#include "warp.h"
#include "launch.h"
#include "numbers.h"
