/* The bundle and the picture, as parts of the program. Kernels like weights at multiples of 64. */
    .section .assets, "a"
    .balign 64
    .global bundle
    .global bundle_end
    .global picture_nv12
bundle:
    .incbin "tiny-road.zsb"
bundle_end:
    .balign 64
picture_nv12:
    .incbin "road_160x120.nv12"

#ifdef __linux__
    .section .note.GNU-stack, "", %progbits
#endif
