/*
 * zsseg.h: zero-shot semantic segmentation on edge devices. A camera frame goes in, a mask comes
 * out, in memory that the caller sets aside and whose size is known before anything is loaded.
 *
 * The life of a segmenter, status checks left out:
 *
 *     zsseg_limits_t limits = {.struct_size = sizeof limits, .max_frame_width = 1280,
 *                              .max_frame_height = 720, .threads = 1, .extra_classes = 8};
 *     size_t arena_bytes = 0;
 *     zsseg_arena_size(bundle, bundle_bytes, &limits, &arena_bytes, NULL);
 *     void *arena = aligned_alloc(ZSSEG_ARENA_ALIGN, arena_bytes);
 *     zsseg_t *handle = NULL;
 *     zsseg_init(bundle, bundle_bytes, &limits, arena, arena_bytes, &handle, NULL);
 *
 *     zsseg_new_class_t cat = {.struct_size = sizeof cat, .name = "cat"};
 *     uint32_t label = 0;
 *     zsseg_class_add_word(handle, &cat, NULL, ZSSEG_METHOD_DIRECT, &label);
 *
 *     zsseg_image_t frame = {.struct_size = sizeof frame, .format = ZSSEG_FORMAT_RGB8,
 *                            .width = 1280, .height = 720, .planes = {rgb},
 *                            .stride_bytes = {1280 * 3}, .plane_bytes = {1280 * 720 * 3}};
 *     zsseg_output_t mask = {.struct_size = sizeof mask, .label_type = ZSSEG_LABELS_U8,
 *                            .labels = labels, .labels_stride_bytes = 1280,
 *                            .labels_bytes = 1280 * 720};
 *     zsseg_segment(handle, &frame, &mask);
 *     zsseg_close(handle);
 *
 * Status. Every function that can fail returns ZSSEG_OK or a ZSSEG_E_ number and checks its
 * arguments first. Outputs come last and are written on ZSSEG_OK only, but for the planes of a
 * frame that was cancelled or ran out of time. The reason in words is in the optional
 * zsseg_error_t of calls without a handle and behind zsseg_last_error() of the others.
 *
 * Ownership. Everything belongs to the caller. The bundle's bytes and the arena stay in place and
 * unchanged by others from zsseg_init() to zsseg_close(). Structs, texts, numbers, frames and
 * outputs are used during the call only, but for frames and outputs of zsseg_begin(), which are
 * used until the last zsseg_step(). Pointers in zsseg_bundle_info_t lead into the bundle.
 *
 * Threads. One handle, one thread at a time; only zsseg_cancel() may be called meanwhile. Other
 * calls that come while one works on the handle, from an interrupt or from the clock's callback,
 * return ZSSEG_E_INVALID_STATE and change nothing; do not rely on it between threads. Different
 * handles share nothing that is written, so each may have its own thread, and they may share one
 * bundle. Functions without a handle may be called from any thread. The library starts no thread
 * but those of an ONNX network; it works on the program's if zsseg_set_thread_pool() has given it
 * some.
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
/**
 * The handle is not in a state for this call: closed, poisoned by an earlier ZSSEG_E_PANIC, at
 * work in another call, or without what the call needs (a frame at work, a clock, features).
 */
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
/** No place is left for one more class. */
#define ZSSEG_E_CLASS_TABLE_FULL 22
/** The name or the label of a new class is taken. */
#define ZSSEG_E_CLASS_EXISTS 23
/** A word is not in the bundle's table of word vectors. */
#define ZSSEG_E_UNKNOWN_WORD 24
/** The frame's work was cancelled. */
#define ZSSEG_E_CANCELLED 25
/** The frame's deadline passed before its work was done. */
#define ZSSEG_E_DEADLINE_EXCEEDED 26

/**
 * Version of this interface. It grows when something is added; callers compiled against an
 * older header keep working.
 */
#define ZSSEG_ABI_VERSION 2

/** Alignment of the arena's first byte, in bytes. */
#define ZSSEG_ARENA_ALIGN 64

/** Capability: networks in ONNX form can be run (the tract engine is built in). */
#define ZSSEG_CAPABILITY_TRACT 1
/**
 * Capability: the tract engine keeps the network and its activations on its own heap, outside
 * the arena. Without this bit nothing is ever allocated.
 */
#define ZSSEG_CAPABILITY_ENGINE_HEAP 2
/** Capability: compiled networks may have layers in floats, not in integers only. */
#define ZSSEG_CAPABILITY_FLOAT_LAYERS 4
/** Capability: masks can be fused with spectral segments (ZSSEG_USE_FUSION). */
#define ZSSEG_CAPABILITY_FUSION 8

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

/** One byte per pixel; labels up to 254. */
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
/** The bundle holds a compiled network, which runs in the arena. */
#define ZSSEG_BACKBONE_PLAN 2

/** Class flag: labelled in training (otherwise known by its embedding only). */
#define ZSSEG_CLASS_SEEN 1
/** Class flag: stands for "none of the others". */
#define ZSSEG_CLASS_BACKGROUND 2
/** Class flag: takes part. Told by zsseg_class_info() only. */
#define ZSSEG_CLASS_ENABLED 4

/** Use: frames may be smoothed over time, see zsseg_set_smoothing(). */
#define ZSSEG_USE_SMOOTHING 1
/** Use: masks may be moved towards spectral segments, see zsseg_set_fusion(). */
#define ZSSEG_USE_FUSION 2
/** Use: classes may be added through the bundle's generator, see ZSSEG_METHOD_GENERATOR. */
#define ZSSEG_USE_GENERATOR 4

/** The network gives logits itself; no class can be added. */
#define ZSSEG_HEAD_LOGITS 0
/** One row of weights and one bias per class. */
#define ZSSEG_HEAD_LINEAR 1
/** Product of the features with one embedding per class. */
#define ZSSEG_HEAD_DOT 2
/** Cosine between the features and one embedding per class. */
#define ZSSEG_HEAD_COSINE 3

/** Way to add a class: by its row of the classifier. */
#define ZSSEG_WAY_ROW 1
/** Way to add a class: by its embedding. */
#define ZSSEG_WAY_EMBEDDING 2
/** Way to add a class: by its name or another phrase. */
#define ZSSEG_WAY_WORD 4
/** Way to add a class: by its embedding or a phrase, through the bundle's generator. */
#define ZSSEG_WAY_GENERATOR 8

/** Flag of a new class: pixels of it were labelled in training. */
#define ZSSEG_NEW_CLASS_SEEN 1
/** Flag of a new class: `label` is given. Otherwise it gets the lowest free label. */
#define ZSSEG_NEW_CLASS_LABEL 2
/** Flag of a new class: `color` is given. Otherwise it gets that of its label in PASCAL VOC. */
#define ZSSEG_NEW_CLASS_COLOR 4

/** The row is the embedding itself (dot, cosine), or the bundle's projection makes it (linear). */
#define ZSSEG_METHOD_DIRECT 0
/**
 * The bundle's generator makes features from the embedding, and the row is fitted to them here.
 * For linear heads; needs ZSSEG_USE_GENERATOR.
 */
#define ZSSEG_METHOD_GENERATOR 1

/** The row of a class is the bundle's. */
#define ZSSEG_ORIGIN_BUNDLE 0
/** The row of a class was handed in. */
#define ZSSEG_ORIGIN_ROW 1
/** The row of a class comes from an embedding. */
#define ZSSEG_ORIGIN_EMBEDDING 2
/** The row of a class comes from the embedding of a phrase. */
#define ZSSEG_ORIGIN_WORD 3
/** The row of a class was fitted to generated features. */
#define ZSSEG_ORIGIN_GENERATOR 4

/** No handicap for the classes that were labelled in training. */
#define ZSSEG_STACKING_OFF 0
/** `gamma` is taken from the logits of these classes. */
#define ZSSEG_STACKING_LOGITS 1
/** `gamma` is taken from the probabilities of these classes. */
#define ZSSEG_STACKING_PROBABILITIES 2

/** Unknown score: one minus the winner's lead over the runner-up, in probabilities. */
#define ZSSEG_UNKNOWN_MARGIN 0
/** Unknown score: probability of one more class whose logit is `reference` everywhere. */
#define ZSSEG_UNKNOWN_ENERGY 1

/**
 * A class takes the shape of the segment that fits it best. `parameter` is the least
 * intersection over union, usually 0.5.
 */
#define ZSSEG_FUSION_SELECT 1
/**
 * A region in which enough cells have the same class gets that class. `parameter` is their least
 * share, usually 0.6.
 */
#define ZSSEG_FUSION_VOTE 2
/**
 * Scores are mixed with their mean over the region. `parameter` is the share of the mean, 0 to
 * 1, usually 0.5.
 */
#define ZSSEG_FUSION_SOFT 3

/** Attention is a softmax over all tokens, as in the transformer itself. */
#define ZSSEG_SCORING_SOFTMAX 0
/** Attention is the bare product of query and key, as in MaskDistill's code. */
#define ZSSEG_SCORING_RAW 1

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
    /** One of ZSSEG_HEAD_*. */
    uint32_t head;
    /** ZSSEG_WAY_* bits: how classes can be added. */
    uint32_t ways;
    /** Numbers of a class's embedding; 0 when the bundle knows no embeddings. */
    uint32_t embedding_dim;
    /** Words that the bundle knows. */
    uint32_t word_count;
} zsseg_bundle_info_t;

/** One class, of a bundle or of a segmenter. */
typedef struct zsseg_class_t {
    /** sizeof(zsseg_class_t), set by the caller. */
    uint32_t struct_size;
    /** ZSSEG_CLASS_* bits. */
    uint32_t flags;
    /**
     * NUL-terminated UTF-8, at most 63 bytes. From zsseg_bundle_class() it lies in the bundle;
     * from zsseg_class_info() in the arena, until the class is renamed, removed or replaced.
     */
    const char *name;
    /** Red, green, blue, 0. */
    uint8_t color[4];
    /** Added to the class's logit. */
    float bias;
    /**
     * How likely the class is beforehand, in any unit; 1 unless zsseg_class_set_prior() was
     * called.
     */
    float prior;
    /** One of ZSSEG_ORIGIN_*. */
    uint32_t origin;
    /** Its value in masks. */
    uint32_t label;
    /** Always 0. */
    uint32_t reserved;
} zsseg_class_t;

/** What a segmenter must be ready for. The arena's size follows from it. */
typedef struct zsseg_limits_t {
    /** sizeof(zsseg_limits_t), set by the caller. */
    uint32_t struct_size;
    /** Widest frame, in pixels: 1 to 16384. */
    uint32_t max_frame_width;
    /** Highest frame, in pixels: 1 to 16384. */
    uint32_t max_frame_height;
    /**
     * Threads that may be used: 1 to 64; those of zsseg_set_thread_pool(), at most 16, or an ONNX
     * network's own. The arena has working memory for all of them.
     */
    uint32_t threads;
    /**
     * Classes that may be added or given another row; 0 for none. With the bundle's own at most
     * 4096. zsseg_class_cost() tells what each costs.
     */
    uint32_t extra_classes;
    /** ZSSEG_USE_* bits: what memory is set aside for; 0 for nothing. */
    uint32_t uses;
    /**
     * Rows of the features in zsseg_frame_t.affinity; 0, like the next two, when the segments
     * of ZSSEG_USE_FUSION are to be found from the network's own output.
     */
    uint32_t affinity_height;
    /** Columns of these features. */
    uint32_t affinity_width;
    /** Channels of these features. */
    uint32_t affinity_channels;
} zsseg_limits_t;

/** What each class that may be added costs. */
typedef struct zsseg_class_cost_t {
    /** sizeof(zsseg_class_cost_t), set by the caller. */
    uint32_t struct_size;
    /** Always 0. */
    uint32_t reserved;
    /**
     * Bytes of the arena. Buffers are rounded up to 64 bytes, so that a whole table takes at
     * most 1 KiB more, beside the memory for making rows, which is set aside once.
     */
    uint64_t bytes;
    /** Multiply-adds in each frame, before the frame's own pixels. */
    uint64_t grid_multiply_adds;
    /** Multiply-adds to make its row from an embedding; 0 where the row is the embedding. */
    uint64_t meaning_multiply_adds;
    /**
     * Most multiply-adds to fit its row to generated features, against as many classes as there
     * is room for; 0 where the bundle has no generator.
     */
    uint64_t generator_multiply_adds;
} zsseg_class_cost_t;

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

/** Where a mask goes. Every plane has the frame's size. */
typedef struct zsseg_output_t {
    /** sizeof(zsseg_output_t), set by the caller. */
    uint32_t struct_size;
    /** ZSSEG_LABELS_U8 or ZSSEG_LABELS_U16. */
    uint32_t label_type;
    /**
     * Label of every pixel's class; ZSSEG_UNLABELED_* outside the network's view and where the
     * decision rejects a pixel. Required; 2-byte aligned for ZSSEG_LABELS_U16.
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
    /**
     * How much the pixel looks like none of the classes, 255 = 1, see zsseg_decision_t.unknown;
     * NULL when not wanted.
     */
    uint8_t *unknown;
    /** Distance between rows, in bytes. */
    size_t unknown_stride_bytes;
    /** Length of the plane, in bytes. */
    size_t unknown_bytes;
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

/**
 * A class that is to be added. With all but `struct_size` and `name` zero it is an unseen class
 * with a free label, a colour of its own and no bias.
 */
typedef struct zsseg_new_class_t {
    /** sizeof(zsseg_new_class_t), set by the caller. */
    uint32_t struct_size;
    /** ZSSEG_NEW_CLASS_* bits. */
    uint32_t flags;
    /** NUL-terminated UTF-8: 1 to 63 bytes without control characters, unlike all other names. */
    const char *name;
    /** Its value in masks, with ZSSEG_NEW_CLASS_LABEL: a free one below zsseg_label_capacity(). */
    uint32_t label;
    /** Red, green, blue and an unused byte, with ZSSEG_NEW_CLASS_COLOR. */
    uint8_t color[4];
    /** Added to the class's logit; finite. */
    float bias;
    /** Always 0. */
    uint32_t reserved;
} zsseg_new_class_t;

/**
 * From class scores to a class, or to none. All zero but `max_unknown` = 1: the class with the
 * highest score, always.
 */
typedef struct zsseg_decision_t {
    /** sizeof(zsseg_decision_t), set by the caller. */
    uint32_t struct_size;
    /** One of ZSSEG_STACKING_*. */
    uint32_t stacking;
    /**
     * Handicap of the classes labelled in training: finite for logits, 0 to 1 for
     * probabilities, not looked at for ZSSEG_STACKING_OFF.
     */
    float gamma;
    /** Pixels whose confidence is lower get no class: 0 (none) to 1. */
    float min_confidence;
    /** Pixels whose margin is lower get no class: 0 (none) to 1. */
    float min_margin;
    /** One of ZSSEG_UNKNOWN_*. */
    uint32_t unknown;
    /** Logit of ZSSEG_UNKNOWN_ENERGY: finite; not looked at for ZSSEG_UNKNOWN_MARGIN. */
    float reference;
    /** Pixels whose unknown score is higher get no class: 0 to 1 (none). */
    float max_unknown;
} zsseg_decision_t;

/** How masks are moved towards spectral segments. */
typedef struct zsseg_fusion_t {
    /** sizeof(zsseg_fusion_t), set by the caller. */
    uint32_t struct_size;
    /** One of ZSSEG_FUSION_*. */
    uint32_t mode;
    /** See ZSSEG_FUSION_*; at least 0. */
    float parameter;
    /** Segments: 0 (nothing changes) to 5. */
    uint32_t segments;
} zsseg_fusion_t;

/**
 * A frame for zsseg_begin(): pixels for the bundle's network, or features that the caller
 * computed; the other pointer is NULL.
 */
typedef struct zsseg_frame_t {
    /** sizeof(zsseg_frame_t), set by the caller. */
    uint32_t struct_size;
    /** Width of the frame that the features are of, in pixels; 0 with `image`. */
    uint32_t width;
    /** Height of the frame that the features are of, in pixels; 0 with `image`. */
    uint32_t height;
    /** Always 0. */
    uint32_t reserved;
    /** The frame's pixels, or NULL. */
    const zsseg_image_t *image;
    /** The frame's features, or NULL. */
    const zsseg_features_t *features;
    /**
     * Features to find the segments of ZSSEG_USE_FUSION from, in the shape that the limits
     * state; NULL for those of the network.
     */
    const zsseg_features_t *affinity;
} zsseg_frame_t;

/** Where the time of a frame went, in nanoseconds; zeros without a clock. */
typedef struct zsseg_times_t {
    /** sizeof(zsseg_times_t), set by the caller. */
    uint32_t struct_size;
    /** Always 0. */
    uint32_t reserved;
    /** From the frame to the network's input. */
    uint64_t fetch_ns;
    /** The network. */
    uint64_t backbone_ns;
    /** From features to class scores; with threads these are part of `upsample_ns`. */
    uint64_t head_ns;
    /** Segments and their fusion with the scores. */
    uint64_t fusion_ns;
    /** From scores to labels on the frame. */
    uint64_t upsample_ns;
} zsseg_times_t;

/**
 * Calls `part(parts, i)` for each `i` from 0 to `count` - 1 once, on any threads, the calling one
 * perhaps among them, and returns when all these calls have returned. `count` is at most 16. It
 * calls no function of this header and does not unwind.
 */
typedef void (*zsseg_run_parts_t)(void *context,
                                  void (*part)(void *parts, uint32_t index),
                                  void *parts,
                                  uint32_t count);

/** Threads of the program, for zsseg_set_thread_pool(). */
typedef struct zsseg_thread_pool_t {
    /** sizeof(zsseg_thread_pool_t), set by the caller. */
    uint32_t struct_size;
    /** Always 0. */
    uint32_t reserved;
    /** Handed to `run`. */
    void *context;
    /** Runs parts side by side. */
    zsseg_run_parts_t run;
} zsseg_thread_pool_t;

/**
 * A vision transformer's last block, as zsseg_object_mask() needs it. The values of MaskDistill
 * are named.
 */
typedef struct zsseg_object_settings_t {
    /** sizeof(zsseg_object_settings_t), set by the caller. */
    uint32_t struct_size;
    /** Rows of patches: at least 1, with at most 16384 patches in all. */
    uint32_t grid_height;
    /** Columns of patches: at least 1. */
    uint32_t grid_width;
    /** Numbers of a key, all attention heads together: 1 to 4096. */
    uint32_t channels;
    /** Attention heads, which divide the channels evenly: 6. */
    uint32_t heads;
    /** Of these, how many are looked at, from the first on: 5. */
    uint32_t scoring_heads;
    /** Share of the attention that the kept patches hold, 0 to 1: 0.5. */
    float mass;
    /** Share of the patches that may join the first, 0 to 1: 0.4. */
    float candidates;
    /** One of ZSSEG_SCORING_*. */
    uint32_t scoring;
} zsseg_object_settings_t;

/** The object that zsseg_object_mask() found. */
typedef struct zsseg_object_t {
    /** sizeof(zsseg_object_t), set by the caller. */
    uint32_t struct_size;
    /** The patch that is attended to most: row * grid_width + column. */
    uint32_t source;
    /** Patches in the mask. */
    uint32_t area;
    /**
     * 1 when the patches like the source did not include the source itself; the mask is then
     * the source and those of the best patches that are like it, connected or not.
     */
    uint32_t fallback;
} zsseg_object_t;

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
 * Checks the structure, the numbers and every checksum of a bundle, in time that is linear in its
 * size. Whether its network can run here, zsseg_arena_size() says, which reads a compiled one as
 * well: a program that stores bundles should ask both before it trusts a new one.
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
 * Writes the embedding of a phrase from the bundle's word table, as zsseg_class_add_word() uses
 * it: the vector of the phrase, or else the mean of the vectors of its words. For mixing
 * embeddings before zsseg_class_add_embedding(). `dim` is zsseg_bundle_info_t.embedding_dim.
 * ZSSEG_E_UNKNOWN_WORD, ZSSEG_E_UNSUPPORTED without a word table.
 *
 * Requires: `bundle` leads to `bundle_bytes` readable bytes, `text` is NUL-terminated, and
 * `values` leads to `dim` writable floats outside the bundle.
 */
zsseg_status_t zsseg_bundle_embed(const void *bundle,
                                  size_t bundle_bytes,
                                  const char *text,
                                  float *values,
                                  size_t dim,
                                  zsseg_error_t *error);

/**
 * What each class that may be added costs, with this bundle and these limits. ZSSEG_E_UNSUPPORTED
 * if its head is one of logits, which takes no classes.
 *
 * Requires: `bundle` leads to `bundle_bytes` readable bytes; the others are NULL or valid.
 */
zsseg_status_t zsseg_class_cost(const void *bundle,
                                size_t bundle_bytes,
                                const zsseg_limits_t *limits,
                                zsseg_class_cost_t *cost,
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
 * must stay in place until zsseg_close(). A bundle with a compiled network starts at a multiple of
 * 4 bytes, else this and zsseg_arena_size() are ZSSEG_E_INVALID_ARGUMENT; at a multiple of 64 it
 * runs up to a tenth faster. Of an arena larger than needed only the first zsseg_arena_size()
 * bytes are touched.
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
 * Segments one frame. The planes of `output` are written on ZSSEG_OK only (but see
 * zsseg_cancel() and zsseg_set_deadline_us()), and of them only the pixels: never the bytes
 * between rows. ZSSEG_E_UNSUPPORTED when the bundle holds no network. A frame at work is given
 * up, whatever this call returns.
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
 * NUL-terminated; empty when the latest call that works on it succeeded. 504 bytes hold
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
 * Requires: `handle` came from zsseg_init() and no other thread uses it, not even for
 * zsseg_cancel().
 */
zsseg_status_t zsseg_close(zsseg_t *handle);

/**
 * Adds a class by its row of the classifier, from the next frame on. `len` is
 * zsseg_bundle_info_t.channels; `bias` is 0 for ZSSEG_HEAD_DOT and ZSSEG_HEAD_COSINE, whose rows
 * are embeddings. This and the next two calls give up a frame at work and forget the past that
 * frames are smoothed with; on an error nothing has changed. They never allocate.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `class_info` and `weights`
 * are NULL or valid.
 */
zsseg_status_t zsseg_class_add_row(zsseg_t *handle,
                                   const zsseg_new_class_t *class_info,
                                   const float *weights,
                                   size_t len,
                                   float bias,
                                   uint32_t *label);

/**
 * Adds a class by its embedding. `dim` is zsseg_bundle_info_t.embedding_dim, `method` one of
 * ZSSEG_METHOD_*.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `class_info` and `values`
 * are NULL or valid.
 */
zsseg_status_t zsseg_class_add_embedding(zsseg_t *handle,
                                         const zsseg_new_class_t *class_info,
                                         const float *values,
                                         size_t dim,
                                         uint32_t method,
                                         uint32_t *label);

/**
 * Adds a class by the embedding of a phrase, or of its name if `text` is NULL: the vector of the
 * phrase, or else the mean of the vectors of its words, which blanks, hyphens and underscores
 * divide. ZSSEG_E_UNKNOWN_WORD, whose text tells which. `method` is one of ZSSEG_METHOD_*.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `class_info` is NULL or
 * valid, `text` is NULL or NUL-terminated.
 */
zsseg_status_t zsseg_class_add_word(zsseg_t *handle,
                                    const zsseg_new_class_t *class_info,
                                    const char *text,
                                    uint32_t method,
                                    uint32_t *label);

/**
 * Gives a class, also one of the bundle's, another row. Takes one of zsseg_limits_t.extra_classes
 * unless the class has one already. Otherwise as zsseg_class_add_row().
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `weights` is NULL or
 * valid.
 */
zsseg_status_t zsseg_class_replace_row(zsseg_t *handle,
                                       uint32_t label,
                                       const float *weights,
                                       size_t len,
                                       float bias);

/**
 * Gives a class another row by an embedding. Otherwise as zsseg_class_replace_row() and
 * zsseg_class_add_embedding().
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `values` is NULL or valid.
 */
zsseg_status_t zsseg_class_replace_embedding(zsseg_t *handle,
                                             uint32_t label,
                                             const float *values,
                                             size_t dim,
                                             uint32_t method);

/**
 * Gives a class another row by a phrase. Otherwise as zsseg_class_replace_row() and
 * zsseg_class_add_word(), but `text` is required.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `text` is NULL or
 * NUL-terminated.
 */
zsseg_status_t zsseg_class_replace_word(zsseg_t *handle,
                                        uint32_t label,
                                        const char *text,
                                        uint32_t method);

/**
 * Removes a class from the next frame on. Its label is free for another. ZSSEG_E_INVALID_ARGUMENT,
 * as of the next calls, when no class has this label. A class of the bundle is back after the next
 * zsseg_init().
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it.
 */
zsseg_status_t zsseg_class_remove(zsseg_t *handle,
                                  uint32_t label);

/**
 * Gives a class another name: as for zsseg_new_class_t. The frame at work goes on.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `new_name` is NULL or
 * NUL-terminated.
 */
zsseg_status_t zsseg_class_rename(zsseg_t *handle,
                                  uint32_t label,
                                  const char *new_name);

/**
 * Lets a class take part (1), or not (0), from the next frame on.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it.
 */
zsseg_status_t zsseg_class_enable(zsseg_t *handle,
                                  uint32_t label,
                                  uint32_t enabled);

/**
 * Sets what is added to a class's logit; finite.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it.
 */
zsseg_status_t zsseg_class_set_bias(zsseg_t *handle, uint32_t label, float bias);

/**
 * Sets how likely a class is beforehand: greater than 0, in any unit that is the same for all.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it.
 */
zsseg_status_t zsseg_class_set_prior(zsseg_t *handle,
                                     uint32_t label,
                                     float prior);

/**
 * Finds the class that is called `wanted`. ZSSEG_E_INVALID_ARGUMENT when there is none.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `wanted` is NULL or
 * NUL-terminated, `label` NULL or valid.
 */
zsseg_status_t zsseg_class_find(zsseg_t *handle,
                                const char *wanted,
                                uint32_t *label);

/**
 * Describes the class with this label. ZSSEG_E_INVALID_ARGUMENT when there is none: to list all,
 * ask for every label below zsseg_label_capacity().
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `info` is NULL or valid.
 */
zsseg_status_t zsseg_class_info(zsseg_t *handle,
                                uint32_t label,
                                zsseg_class_t *info);

/**
 * Number of places for classes: every label is below it, whatever is added.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `capacity` is NULL or
 * valid.
 */
zsseg_status_t zsseg_label_capacity(zsseg_t *handle, uint32_t *capacity);

/**
 * Number of rows that can still be added or replaced.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `vacancies` is NULL or
 * valid.
 */
zsseg_status_t zsseg_class_vacancies(zsseg_t *handle, uint32_t *vacancies);

/**
 * How pixels are decided: after zsseg_init() as the bundle says.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `decision` is NULL or
 * valid.
 */
zsseg_status_t zsseg_decision(zsseg_t *handle, zsseg_decision_t *decision);

/**
 * Changes how pixels are decided, from the next frame on. A frame at work is given up, and the
 * past that frames are smoothed with is forgotten. ZSSEG_E_INVALID_ARGUMENT, and nothing changed,
 * for numbers outside their ranges.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `decision` is NULL or
 * valid.
 */
zsseg_status_t zsseg_set_decision(zsseg_t *handle,
                                  const zsseg_decision_t *decision);

/**
 * Smooths class scores over frames, from the next one on; the past is forgotten and a frame at
 * work given up. `weight` is that of the new frame: above 0, and 1 for no smoothing. The past is
 * dropped when the best class changes in more than the share `cut` of the cells: 0 to 1 (never).
 * Needs ZSSEG_USE_SMOOTHING.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it.
 */
zsseg_status_t zsseg_set_smoothing(zsseg_t *handle,
                                   float weight,
                                   float cut);

/**
 * Forgets the frames that later ones would be smoothed with, as after a change of camera. A frame
 * at work is given up.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it.
 */
zsseg_status_t zsseg_forget(zsseg_t *handle);

/**
 * Moves masks towards spectral segments, from the next frame on, or no longer if `fusion` is NULL.
 * A frame at work is given up. Needs ZSSEG_USE_FUSION.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `fusion` is NULL or valid.
 */
zsseg_status_t zsseg_set_fusion(zsseg_t *handle,
                                const zsseg_fusion_t *fusion);

/**
 * Gives the segmenter a clock, for zsseg_set_deadline_us() and zsseg_stage_times(): nanoseconds
 * since any fixed moment, never backwards. It is called on the thread that works on the handle, a
 * few times per piece of work. NULL takes clock and deadline away. A frame at work is given up.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `now_ns` is NULL or a
 * function that any thread may call and that does not unwind.
 */
zsseg_status_t zsseg_set_clock(zsseg_t *handle,
                               uint64_t (*now_ns)(void));

/**
 * Gives every frame at most `deadline_us` microseconds from its beginning; 0 for no deadline. The
 * call that works on a frame when they are over returns ZSSEG_E_DEADLINE_EXCEEDED after its
 * present piece (in zsseg_segment(): layer; an ONNX network runs in one piece), and the frame is
 * given up; its output has no meaning then. ZSSEG_E_INVALID_STATE without a clock.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it.
 */
zsseg_status_t zsseg_set_deadline_us(zsseg_t *handle,
                                     uint64_t deadline_us);

/**
 * Begins a frame that zsseg_step() carries on. Everything that `frame` and `output` describe
 * stays in place and is not changed by others until zsseg_step() says that the mask is complete
 * or returns an error, or another call gives the frame up; the structs themselves are copied. A
 * frame that was at work is given up, whatever this call returns, but for a handle that is not
 * there or at work in another call. Errors are those of zsseg_segment().
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `frame` and `output`
 * describe memory that exists.
 */
zsseg_status_t zsseg_begin(zsseg_t *handle,
                           const zsseg_frame_t *frame,
                           const zsseg_output_t *output);

/**
 * Carries the frame on by at most `pieces` pieces, at least 1; `*done` becomes 1 when the mask is
 * complete, else 0. A piece is a row of the network's input, of its output or of the frame, 32
 * columns of an affinity matrix, one step of an eigenvalue search, a fusion, some rows of a layer
 * of a compiled network, or an ONNX network as a whole. Small pieces of a network are slower: its
 * weights are read for each; UINT32_MAX pieces go layer by layer. However a frame is divided, the
 * mask is the same; before the end what is in the output has no meaning. ZSSEG_E_INVALID_STATE
 * when no frame is at work; ZSSEG_E_CANCELLED, ZSSEG_E_DEADLINE_EXCEEDED; ZSSEG_E_MODEL_SHAPE for
 * features of another shape than the bundle's or the limits'. After an error the frame is given
 * up, but for ZSSEG_E_INVALID_ARGUMENT when `pieces` is 0 and ZSSEG_E_NULL_POINTER.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `done` is NULL or valid.
 */
zsseg_status_t zsseg_step(zsseg_t *handle,
                          uint32_t pieces,
                          uint32_t *done);

/**
 * Stops the frame at work. May be called from any thread and from an interrupt, also while
 * another thread works on the handle: that call, or else the next zsseg_step(), returns
 * ZSSEG_E_CANCELLED after its present piece (in zsseg_segment(): layer; an ONNX network runs in
 * one piece), the frame is given up, and its output has no meaning. Without a frame at work
 * nothing happens: each beginning of a frame forgets earlier calls.
 *
 * Requires: `handle` came from zsseg_init(), and zsseg_close() is not called before this
 * returns.
 */
zsseg_status_t zsseg_cancel(zsseg_t *handle);

/**
 * Where the time of the latest frame went.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `times` is NULL or valid.
 */
zsseg_status_t zsseg_stage_times(zsseg_t *handle, zsseg_times_t *times);

/**
 * Has pictures, layers of a compiled network and masks worked on by threads of the program: each
 * is cut into at most as many parts as zsseg_limits_t.threads says, and `pool->run` is called
 * with them on the thread that works on the handle, many times per frame. NULL gives all work to
 * that thread again. The masks are the same. zsseg_step() makes pictures and masks on the calling
 * thread alone but for UINT32_MAX pieces, and builds without std always do; an ONNX network has
 * threads of its own; microcontrollers work on one.
 *
 * Requires: `handle` came from zsseg_init() and no other thread uses it; `pool` is NULL, or its
 * function keeps what zsseg_run_parts_t says for as long as it is set.
 */
zsseg_status_t zsseg_set_thread_pool(zsseg_t *handle,
                                     const zsseg_thread_pool_t *pool);

/**
 * Exact number of arena bytes that zsseg_object_mask() will need; a multiple of
 * ZSSEG_ARENA_ALIGN.
 *
 * Requires: The pointers are NULL or valid.
 */
zsseg_status_t zsseg_object_arena_size(const zsseg_object_settings_t *settings,
                                       size_t *arena_bytes,
                                       zsseg_error_t *error);

/**
 * Finds the object that a vision transformer looks at (the first step of MaskDistill), from the
 * last block's query and key of the class token, `channels` numbers each, head after head, and
 * the keys of the patches in the same order. Writes one byte per patch to `mask`, row after row:
 * 1 in the object, else 0. Needs no handle and no bundle. The arena starts at a multiple of
 * ZSSEG_ARENA_ALIGN and is free again afterwards. Nothing but the arena is written on an error:
 * ZSSEG_E_MODEL_SHAPE for keys of another shape, ZSSEG_E_INVALID_ARGUMENT for numbers that are
 * not finite.
 *
 * Requires: `arena` leads to `arena_bytes` writable bytes, `mask` to `mask_bytes`, `query` and
 * `class_key` to as many floats as there are channels; the others are NULL or valid.
 */
zsseg_status_t zsseg_object_mask(const zsseg_object_settings_t *settings,
                                 void *arena,
                                 size_t arena_bytes,
                                 const float *query,
                                 const float *class_key,
                                 const zsseg_features_t *keys,
                                 uint8_t *mask,
                                 size_t mask_bytes,
                                 zsseg_object_t *found,
                                 zsseg_error_t *error);

#ifdef __cplusplus
}
#endif

#endif  /* ZSSEG_H */
