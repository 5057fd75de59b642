/*
 * zsseg.h: zero-shot semantic segmentation on edge devices. A camera frame goes in, a mask comes
 * out, in memory that the caller sets aside and whose size is known before anything is loaded.
 *
 * The life of a segmenter, status checks left out:
 *
 *     zsseg_limits_t limits = {sizeof limits, 1280, 720, 1};
 *     size_t arena_bytes = 0;
 *     zsseg_arena_size(bundle, bundle_bytes, &limits, &arena_bytes, NULL);
 *     void *arena = aligned_alloc(ZSSEG_ARENA_ALIGN, arena_bytes);
 *     zsseg_t *handle = NULL;
 *     zsseg_init(bundle, bundle_bytes, &limits, arena, arena_bytes, &handle, NULL);
 *     zsseg_image_t frame = {sizeof frame, ZSSEG_FORMAT_RGB8, 1280, 720,
 *                            {rgb}, {1280 * 3}, {1280 * 720 * 3}, 0, 0};
 *     zsseg_output_t mask = {sizeof mask, ZSSEG_LABELS_U8, labels, 1280, 1280 * 720,
 *                            NULL, 0, 0, NULL, 0, 0};
 *     zsseg_segment(handle, &frame, &mask);
 *     zsseg_close(handle);
 *
 * Status. Every function that can fail returns ZSSEG_OK or a ZSSEG_E_ number and checks its
 * arguments first. Outputs come last and are written on ZSSEG_OK only. The reason in words is in
 * the optional zsseg_error_t of calls without a handle and behind zsseg_last_error() of the others.
 *
 * Ownership. Everything belongs to the caller. The bundle's bytes and the arena stay in place and
 * unchanged by others from zsseg_init() to zsseg_close(); frames, outputs and structs are used
 * during the call only. Pointers in zsseg_bundle_info_t and zsseg_class_t lead into the bundle.
 *
 * Threads. One handle, one thread at a time. Different handles share nothing that is written, so
 * each may have its own thread, and they may share one bundle. Functions without a handle may be
 * called from any thread.
 *
 * Sizes. Every struct starts with struct_size, which the caller sets to sizeof of that struct. A
 * program compiled against an older header goes on working with a newer library.
 *
 * This file is generated from src/ffi; see build.rs.
 */
#ifndef ZSSEG_H
#define ZSSEG_H

#include <stddef.h>
#include <stdint.h>

/** The call did what it promised. */
#define ZSSEG_OK 0

/** A required pointer is NULL. */
#define ZSSEG_E_NULL_POINTER 1
/**
 * A `struct_size` is smaller than the oldest version of the struct or larger than this library's.
 */
#define ZSSEG_E_STRUCT_SIZE 2
/** An argument lies outside its documented range. */
#define ZSSEG_E_INVALID_ARGUMENT 3
/** The handle is closed, not initialised, or poisoned by an earlier ZSSEG_E_PANIC. */
#define ZSSEG_E_INVALID_STATE 4
/** The arena is smaller than zsseg_arena_size() says. */
#define ZSSEG_E_ARENA_TOO_SMALL 5
/** The arena does not start at a multiple of ZSSEG_ARENA_ALIGN. */
#define ZSSEG_E_ARENA_ALIGNMENT 6
/** A plane is too short for its width, height and stride. */
#define ZSSEG_E_BUFFER_TOO_SMALL 7
/** A stride is shorter than a row. */
#define ZSSEG_E_STRIDE_TOO_SHORT 8
/** An output overlaps the arena, the bundle, an input or another output. */
#define ZSSEG_E_OVERLAP 9
/** The frame has no pixels or exceeds the limits given at init. */
#define ZSSEG_E_FRAME_SIZE 10
/** The pixel format is not one of ZSSEG_FORMAT_*. */
#define ZSSEG_E_PIXEL_FORMAT 11
/** The bytes are not a bundle, or end too early. */
#define ZSSEG_E_BUNDLE_FORMAT 12
/** The bundle needs a newer version of this library. */
#define ZSSEG_E_BUNDLE_VERSION 13
/** A checksum of the bundle does not match. */
#define ZSSEG_E_BUNDLE_CHECKSUM 14
/** The bundle says something impossible. */
#define ZSSEG_E_BUNDLE_CONTENT 15
/** A hard limit of this library is exceeded. */
#define ZSSEG_E_LIMIT_EXCEEDED 16
/** This build or this bundle lacks what the call needs. */
#define ZSSEG_E_UNSUPPORTED 17
/** The network cannot be loaded; the text names the node and the reason. */
#define ZSSEG_E_MODEL_LOAD 18
/** The network failed while running. */
#define ZSSEG_E_MODEL_RUN 19
/** The network's shapes or types differ from what the bundle says. */
#define ZSSEG_E_MODEL_SHAPE 20
/** An internal error was caught. The handle is poisoned; other handles are not affected. */
#define ZSSEG_E_PANIC 21

/**
 * Version of this interface. It grows when something is added; callers compiled against an
 * older header keep working.
 */
#define ZSSEG_ABI_VERSION 1

/** Alignment of the arena's first byte, in bytes. */
#define ZSSEG_ARENA_ALIGN 64

/** Capability: networks in ONNX form can be run (the tract engine is built in). */
#define ZSSEG_CAPABILITY_TRACT 1
/**
 * Capability: the tract engine keeps the network and its activations on its own heap, outside
 * the arena. Without this bit nothing is ever allocated.
 */
#define ZSSEG_CAPABILITY_ENGINE_HEAP 2

/** R, G, B bytes. */
#define ZSSEG_FORMAT_RGB8 1
/** B, G, R bytes. */
#define ZSSEG_FORMAT_BGR8 2
/** R, G, B, A bytes; alpha is ignored. */
#define ZSSEG_FORMAT_RGBA8 3
/** B, G, R, A bytes; alpha is ignored. */
#define ZSSEG_FORMAT_BGRA8 4
/** One brightness byte. */
#define ZSSEG_FORMAT_GRAY8 5
/** Y plane, then interleaved U, V at half width and height. */
#define ZSSEG_FORMAT_NV12 6
/** Y plane, then interleaved V, U at half width and height. */
#define ZSSEG_FORMAT_NV21 7
/** Y, U and V planes; U and V at half width and height. */
#define ZSSEG_FORMAT_I420 8
/** Y0, U, Y1, V for two pixels. */
#define ZSSEG_FORMAT_YUYV 9
/** U, Y0, V, Y1 for two pixels. */
#define ZSSEG_FORMAT_UYVY 10

/** YCbCr as in ITU-R BT.601. */
#define ZSSEG_MATRIX_BT601 0
/** YCbCr as in ITU-R BT.709. */
#define ZSSEG_MATRIX_BT709 1

/** Y 16..235, Cb and Cr 16..240. */
#define ZSSEG_RANGE_LIMITED 0
/** Y, Cb and Cr 0..255. */
#define ZSSEG_RANGE_FULL 1

/** One byte per pixel; at most 255 classes. */
#define ZSSEG_LABELS_U8 1
/** Two bytes per pixel, native byte order. */
#define ZSSEG_LABELS_U16 2

/** Label of a pixel without a class, one byte. */
#define ZSSEG_UNLABELED_U8 255
/** Label of a pixel without a class, two bytes. */
#define ZSSEG_UNLABELED_U16 65535

/** Channel planes one after another (NCHW with N = 1). */
#define ZSSEG_LAYOUT_CHW 0
/** Channels of a cell side by side (NHWC with N = 1). */
#define ZSSEG_LAYOUT_HWC 1

/** Features or logits come from the caller, through zsseg_segment_features(). */
#define ZSSEG_BACKBONE_EXTERNAL 0
/** The bundle holds an ONNX network. */
#define ZSSEG_BACKBONE_ONNX 1

/** Class flag: labelled in training (otherwise known by its embedding only). */
#define ZSSEG_CLASS_SEEN 1
/** Class flag: stands for "none of the others". */
#define ZSSEG_CLASS_BACKGROUND 2

/** A segmenter. It lies inside the arena that was given to zsseg_init(). */
typedef struct zsseg_t zsseg_t;

/** Outcome of a call: `ZSSEG_OK` or one of the `ZSSEG_E_` numbers. Numbers are never reused. */
typedef int32_t zsseg_status_t;

/**
 * Why a call without a handle failed. Optional everywhere: NULL is allowed, and one with a wrong
 * `struct_size` is left alone.
 */
typedef struct zsseg_error_t {
    /** sizeof(zsseg_error_t), set by the caller. */
    uint32_t struct_size;
    /** The status that the call returned. */
    zsseg_status_t status;
    /** English text, NUL-terminated, shortened to fit; empty after success. */
    char text[504];
} zsseg_error_t;

/** What a bundle says about itself. Pointers lead into the bundle's bytes. */
typedef struct zsseg_bundle_info_t {
    /** sizeof(zsseg_bundle_info_t), set by the caller. */
    uint32_t struct_size;
    /** Number of classes. */
    uint32_t class_count;
    /** Name of the model, NUL-terminated UTF-8. */
    const char *model_name;
    /** SPDX expression of the weights' licence, NUL-terminated. */
    const char *license;
    /** Model card in Markdown, UTF-8, NOT NUL-terminated; NULL when there is none. */
    const char *model_card;
    /** Length of the model card, in bytes. */
    size_t model_card_bytes;
    /** One of ZSSEG_BACKBONE_*. */
    uint32_t backbone;
    /** Width of the network's input, in pixels. */
    uint32_t input_width;
    /** Height of the network's input, in pixels. */
    uint32_t input_height;
    /** Columns of the network's output. */
    uint32_t grid_width;
    /** Rows of the network's output. */
    uint32_t grid_height;
    /** Channels of the network's output: features, or one logit per class. */
    uint32_t channels;
    /** One of ZSSEG_LAYOUT_*: order of the network's output. */
    uint32_t output_layout;
    /** 1 when the bundle holds a classifier over features, 0 when the network gives logits. */
    uint32_t has_classifier;
    /** SHA-256 over the bundle's table of sections: identifies the bundle. */
    uint8_t sha256[32];
} zsseg_bundle_info_t;

/** One class of a bundle. Pointers lead into the bundle's bytes. */
typedef struct zsseg_class_t {
    /** sizeof(zsseg_class_t), set by the caller. */
    uint32_t struct_size;
    /** ZSSEG_CLASS_* bits. */
    uint32_t flags;
    /** NUL-terminated UTF-8, at most 63 bytes. */
    const char *name;
    /** Red, green, blue, 0. */
    uint8_t color[4];
    /** Added to the class's logit. */
    float bias;
} zsseg_class_t;

/** What a segmenter must be ready for. */
typedef struct zsseg_limits_t {
    /** sizeof(zsseg_limits_t), set by the caller. */
    uint32_t struct_size;
    /** Widest frame, in pixels: 1 to 16384. */
    uint32_t max_frame_width;
    /** Highest frame, in pixels: 1 to 16384. */
    uint32_t max_frame_height;
    /** Threads that the network may use: 1 to 64. Everything else runs on the caller's thread. */
    uint32_t threads;
} zsseg_limits_t;

/** A camera frame, read in place. Odd sides are legal: half of 5 pixels is 3 samples. */
typedef struct zsseg_image_t {
    /** sizeof(zsseg_image_t), set by the caller. */
    uint32_t struct_size;
    /** One of ZSSEG_FORMAT_*. */
    uint32_t format;
    /** Width, in pixels. */
    uint32_t width;
    /** Height, in pixels. */
    uint32_t height;
    /** First byte of each plane; unused ones are ignored. */
    const uint8_t *planes[3];
    /** Distance between rows of each plane, in bytes. */
    size_t stride_bytes[3];
    /** Length of each plane, in bytes. The last row needs no padding. */
    size_t plane_bytes[3];
    /** One of ZSSEG_MATRIX_*, for YCbCr formats. */
    uint32_t color_matrix;
    /** One of ZSSEG_RANGE_*, for YCbCr formats. */
    uint32_t color_range;
} zsseg_image_t;

/** Where a mask goes. Every plane has the frame's size. Written on ZSSEG_OK only. */
typedef struct zsseg_output_t {
    /** sizeof(zsseg_output_t), set by the caller. */
    uint32_t struct_size;
    /** ZSSEG_LABELS_U8 or ZSSEG_LABELS_U16. */
    uint32_t label_type;
    /**
     * Class index of every pixel; ZSSEG_UNLABELED_* outside the network's view. Required; 2-byte
     * aligned for ZSSEG_LABELS_U16.
     */
    void *labels;
    /** Distance between rows, in bytes; even for ZSSEG_LABELS_U16. */
    size_t labels_stride_bytes;
    /** Length of the plane, in bytes. */
    size_t labels_bytes;
    /** Softmax probability of the winning class, 255 = 1; NULL when not wanted. */
    uint8_t *confidence;
    /** Distance between rows, in bytes. */
    size_t confidence_stride_bytes;
    /** Length of the plane, in bytes. */
    size_t confidence_bytes;
    /** Probability of the winner minus that of the runner-up, 255 = 1; NULL when not wanted. */
    uint8_t *margin;
    /** Distance between rows, in bytes. */
    size_t margin_stride_bytes;
    /** Length of the plane, in bytes. */
    size_t margin_bytes;
} zsseg_output_t;

/** A network's output: features, or logits for a bundle without a classifier. */
typedef struct zsseg_features_t {
    /** sizeof(zsseg_features_t), set by the caller. */
    uint32_t struct_size;
    /** One of ZSSEG_LAYOUT_*. */
    uint32_t layout;
    /** The values, 4-byte aligned. */
    const float *data;
    /** Number of values: grid_height * grid_width * channels. */
    size_t len;
    /** Rows. */
    uint32_t grid_height;
    /** Columns. */
    uint32_t grid_width;
    /** Values per cell. */
    uint32_t channels;
    /** Always 0. */
    uint32_t reserved;
} zsseg_features_t;

#ifdef __cplusplus
extern "C" {
#endif

/** Version of the interface that this library has: ZSSEG_ABI_VERSION of its own header. */
uint32_t zsseg_abi_version(void);

/** Version of the library, such as "0.1.0". Never NULL. */
const char *zsseg_version(void);

/** What this build can do: ZSSEG_CAPABILITY_* bits. */
uint32_t zsseg_capabilities(void);

/** English text for a status; "unknown status" for a number that is none. Never NULL. */
const char *zsseg_status_str(zsseg_status_t status);

/**
 * Checks everything about a bundle that can be checked without running it: structure, numbers,
 * every checksum. Time is linear in its size.
 *
 * Requires: `bundle` leads to `bundle_bytes` readable bytes at any address.
 */
zsseg_status_t zsseg_bundle_verify(const void *bundle,
                                   size_t bundle_bytes,
                                   zsseg_error_t *error);

/**
 * Describes a bundle. The checksums of its sections are not compared: see
 * zsseg_bundle_verify().
 *
 * Requires: `bundle` leads to `bundle_bytes` readable bytes, which outlive the use of the
 * pointers in `info`.
 */
zsseg_status_t zsseg_bundle_info(const void *bundle,
                                 size_t bundle_bytes,
                                 zsseg_bundle_info_t *info,
                                 zsseg_error_t *error);

/**
 * Describes class `index` of a bundle; its index is its label in masks.
 * ZSSEG_E_INVALID_ARGUMENT when there are not that many. Checksums are not compared.
 *
 * Requires: `bundle` leads to `bundle_bytes` readable bytes, which outlive the use of the
 * pointers in `info`.
 */
zsseg_status_t zsseg_bundle_class(const void *bundle,
                                  size_t bundle_bytes,
                                  uint32_t index,
                                  zsseg_class_t *info,
                                  zsseg_error_t *error);

/**
 * Exact number of arena bytes that zsseg_init() will need for this bundle and these limits; a
 * multiple of ZSSEG_ARENA_ALIGN.
 * Known before anything is loaded; one byte less is an error there.
 *
 * Requires: `bundle` leads to `bundle_bytes` readable bytes; the others are NULL or valid.
 */
zsseg_status_t zsseg_arena_size(const void *bundle,
                                size_t bundle_bytes,
                                const zsseg_limits_t *limits,
                                size_t *arena_bytes,
                                zsseg_error_t *error);

/**
 * Verifies the bundle, loads its network and sets up a segmenter inside `arena`, which starts
 * at a multiple of ZSSEG_ARENA_ALIGN. `*handle` is written on ZSSEG_OK only; after an error
 * there is nothing to close and the arena may be used again. The bundle's bytes and the arena
 * must stay in place until zsseg_close(). Of an arena larger than needed only the first
 * zsseg_arena_size() bytes are touched.
 *
 * Requires: `bundle` leads to `bundle_bytes` readable bytes, `arena` to `arena_bytes` writable
 * ones; the others are NULL or valid.
 */
zsseg_status_t zsseg_init(const void *bundle,
                          size_t bundle_bytes,
                          const zsseg_limits_t *limits,
                          void *arena,
                          size_t arena_bytes,
                          zsseg_t **handle,
                          zsseg_error_t *error);

/**
 * Segments one frame. The planes of `output` are written on ZSSEG_OK only, and of them only
 * the pixels: never the bytes between rows. ZSSEG_E_UNSUPPORTED when the bundle holds no
 * network.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `image` and
 * `output` describe memory that exists.
 */
zsseg_status_t zsseg_segment(zsseg_t *handle,
                             const zsseg_image_t *image,
                             const zsseg_output_t *output);

/**
 * Segments a frame of `width` x `height` pixels whose features (or logits) the caller computed,
 * for example on an NPU, after the preprocessing that the bundle states. Works with every
 * bundle, also with one that holds a network. Outputs as for zsseg_segment().
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `features` and
 * `output` describe memory that exists.
 */
zsseg_status_t zsseg_segment_features(zsseg_t *handle,
                                      const zsseg_features_t *features,
                                      uint32_t width,
                                      uint32_t height,
                                      const zsseg_output_t *output);

/**
 * The network's output for the latest frame of zsseg_segment(). `features->data` stays valid
 * until the next call with this handle that segments or closes.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `features` is NULL
 * or valid.
 */
zsseg_status_t zsseg_features(zsseg_t *handle,
                              zsseg_features_t *features);

/**
 * Copies the text of the latest error of this handle, shortened to fit and always
 * NUL-terminated; empty when the latest call that works on frames succeeded. 504 bytes hold
 * every text.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `text` leads to
 * `text_bytes` writable bytes, at least 1.
 */
zsseg_status_t zsseg_last_error(const zsseg_t *handle,
                                char *text,
                                size_t text_bytes);

/**
 * Bytes of the arena in use. They never change after zsseg_init() and equal zsseg_arena_size().
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `arena_bytes` is
 * NULL or valid.
 */
zsseg_status_t zsseg_arena_peak(const zsseg_t *handle,
                                size_t *arena_bytes);

/**
 * Closes a handle. The engine's own heap, if it has one, is given back; the arena and the
 * bundle are the caller's again. Builds without ZSSEG_CAPABILITY_ENGINE_HEAP have nothing to
 * give back, so there the call may be left out. As long as the arena's bytes stay as they are,
 * every later call with the handle, a second zsseg_close() included, gives
 * ZSSEG_E_INVALID_STATE.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it.
 */
zsseg_status_t zsseg_close(zsseg_t *handle);

#ifdef __cplusplus
}
#endif

#endif  /* ZSSEG_H */
