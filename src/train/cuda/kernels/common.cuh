// What all kernels share: the simulator's words where the compiler is not NVRTC.
#pragma once

#ifndef ZS_CPU_SIM
// Names a kernel for the simulator; nothing on a device.
#define ZS_EXPORT(kernel)
// The block's dynamic shared memory as a pointer, 16 bytes aligned.
#define ZS_DYNAMIC_SHARED(type, name)                                                              \
    extern __shared__ float4 zs_dynamic_shared[];                                                  \
    type* name = reinterpret_cast<type*>(zs_dynamic_shared)
#endif
