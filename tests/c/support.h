/* support.h: what the tests of the C API share: bytes of the right size, and a tiny segmenter. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <stddef.h>
#include <stdint.h>

#include "zsseg.h"

/* Pattern that fills outputs before calls that must not touch them. */
#define PATTERN 0xA5

/* Frame size of the tests on the tiny bundle. */
#define FRAME_WIDTH 17u
#define FRAME_HEIGHT 11u
#define FRAME_PIXELS ((size_t)FRAME_WIDTH * FRAME_HEIGHT)

/* Shape of the tiny bundle's features, as examples/write_tiny_bundle.rs writes it. */
#define GRID_WIDTH 5u
#define GRID_HEIGHT 3u
#define CHANNELS 4u
#define CLASSES 3u
#define FEATURE_COUNT ((size_t)GRID_WIDTH * GRID_HEIGHT * CHANNELS)

/* Exactly `len` bytes of their own, so that valgrind and ASan see the byte after the last. */
struct bytes {
    uint8_t *data;
    size_t len;
};

/* What main() was given. `network` and `picture` are empty when there is no such bundle. */
struct fixture {
    struct bytes tiny;
    struct bytes words;
    struct bytes cosine;
    struct bytes network;
    struct bytes picture; /* R, G, B without padding */
    uint32_t picture_width;
    uint32_t picture_height;
};

/* Aborts the program when there is no memory or no file: a test cannot go on without. */
struct bytes bytes_new(size_t len);
struct bytes bytes_aligned(size_t len);
struct bytes bytes_read(const char *path);
struct bytes bytes_copy(struct bytes source, size_t len);
void bytes_fill(struct bytes bytes, uint8_t value);
void bytes_free(struct bytes *bytes);

/* 1 when every byte is `value`. */
int bytes_are(const uint8_t *data, size_t len, uint8_t value);

/* A segmenter with an arena of the exact size. */
struct segmenter {
    zsseg_t *handle;
    struct bytes arena;
};

zsseg_limits_t limits_for(uint32_t width, uint32_t height);
struct segmenter segmenter_open(struct bytes bundle, uint32_t width, uint32_t height);
struct segmenter segmenter_open_with(struct bytes bundle, const zsseg_limits_t *limits);
/* For frames of FRAME_WIDTH x FRAME_HEIGHT with two classes to add, smoothing and fusion. */
struct segmenter segmenter_open_all(struct bytes bundle);
void segmenter_close(struct segmenter *segmenter);

/* Features of the tiny bundle; `seed` chooses the picture. */
struct bytes features_new(unsigned seed);
zsseg_features_t features_of(struct bytes values);

/* Labels, confidence, margin and unknown score without padding, filled with PATTERN. */
struct planes {
    struct bytes labels;
    struct bytes confidence;
    struct bytes margin;
    struct bytes unknown;
};

struct planes planes_new(uint32_t width, uint32_t height);
void planes_free(struct planes *planes);
int planes_untouched(const struct planes *planes);
int planes_equal(const struct planes *a, const struct planes *b);
/* New planes with what the handle makes of the features of `seed`. */
struct planes planes_segmented(zsseg_t *handle, unsigned seed);
/* 1 when the handle still makes of the features of `seed` what it made before. */
int mask_is_still(zsseg_t *handle, unsigned seed, const struct planes *before);
size_t planes_count(const struct planes *planes, uint8_t label);
zsseg_output_t output_of(const struct planes *planes, uint32_t width);

/* A class to add, with nothing but its name. */
zsseg_new_class_t class_named(const char *name);
/* Label of the class, or UINT32_MAX. */
uint32_t label_of(zsseg_t *handle, const char *name);
/* What the handle says about a class; the label must be there. */
zsseg_class_t class_at(zsseg_t *handle, uint32_t label);

/* An RGB frame without padding. */
zsseg_image_t image_rgb8(const uint8_t *pixels, uint32_t width, uint32_t height);

#endif
