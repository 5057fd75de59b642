/* opened.h: a segmenter for one picture, for the examples that are about something else. */
#ifndef OPENED_H
#define OPENED_H

#include <stdio.h>
#include <stdlib.h>

#include "file.h"
#include "ppm.h"
#include "zsseg.h"

struct opened {
    void *bundle;
    size_t bundle_bytes;
    struct ppm picture;
    void *memory; /* the arena and what comes before its first aligned byte */
    zsseg_t *handle;
    uint8_t *labels;
    zsseg_image_t image;
    zsseg_output_t output;
    zsseg_error_t error;
};

/* Describes the picture and its mask to the library. */
static inline void opened_describe(struct opened *opened)
{
    size_t pixels = (size_t)opened->picture.width * opened->picture.height;
    opened->image.struct_size = sizeof opened->image;
    opened->image.format = ZSSEG_FORMAT_RGB8;
    opened->image.width = opened->picture.width;
    opened->image.height = opened->picture.height;
    opened->image.planes[0] = opened->picture.pixels;
    opened->image.stride_bytes[0] = (size_t)opened->picture.width * 3;
    opened->image.plane_bytes[0] = pixels * 3;
    opened->output.struct_size = sizeof opened->output;
    opened->output.label_type = ZSSEG_LABELS_U8;
    opened->output.labels = opened->labels;
    opened->output.labels_stride_bytes = opened->picture.width;
    opened->output.labels_bytes = pixels;
}

/* Reads bundle and picture and sets a segmenter up for so many threads; NULL, or what is wrong. */
static inline const char *opened_open(struct opened *opened, const char *bundle,
                                      const char *picture, uint32_t threads)
{
    zsseg_limits_t limits = {0};
    const char *reason;
    uint8_t *arena;
    size_t bytes = 0;

    opened->error.struct_size = sizeof opened->error;
    opened->bundle = file_read(bundle, &opened->bundle_bytes);
    if (opened->bundle == NULL) {
        return "the bundle cannot be read";
    }
    reason = ppm_read(picture, &opened->picture);
    if (reason != NULL) {
        return reason;
    }
    limits.struct_size = sizeof limits;
    limits.threads = threads;
    limits.max_frame_width = opened->picture.width;
    limits.max_frame_height = opened->picture.height;
    if (zsseg_arena_size(opened->bundle, opened->bundle_bytes, &limits, &bytes, &opened->error) !=
        ZSSEG_OK) {
        return opened->error.text;
    }
    opened->memory = malloc(bytes + ZSSEG_ARENA_ALIGN);
    opened->labels = malloc((size_t)opened->picture.width * opened->picture.height);
    if (opened->memory == NULL || opened->labels == NULL) {
        return "no memory";
    }
    arena = opened->memory;
    arena += ZSSEG_ARENA_ALIGN - (uintptr_t)arena % ZSSEG_ARENA_ALIGN;
    if (zsseg_init(opened->bundle, opened->bundle_bytes, &limits, arena, bytes, &opened->handle,
                   &opened->error) != ZSSEG_OK) {
        return opened->error.text;
    }
    opened_describe(opened);
    return NULL;
}

/* NULL, or the text of the failed call. */
static inline const char *opened_reason(struct opened *opened, zsseg_status_t status)
{
    if (status == ZSSEG_OK) {
        return NULL;
    }
    zsseg_last_error(opened->handle, opened->error.text, sizeof opened->error.text);
    return opened->error.text;
}

static inline void opened_close(struct opened *opened)
{
    if (opened->handle != NULL) {
        zsseg_close(opened->handle);
    }
    free(opened->memory);
    free(opened->labels);
    free(opened->picture.pixels);
    free(opened->bundle);
}

#endif
