/* source.h: where frames come from: a camera, or a file of raw frames. */
#ifndef SOURCE_H
#define SOURCE_H

#include <stddef.h>
#include <stdint.h>

/* One frame, as the source holds it until the next call. */
struct frame {
    const uint8_t *data;
    size_t bytes;
};

struct source {
    uint32_t format; /* ZSSEG_FORMAT_NV12 or ZSSEG_FORMAT_YUYV */
    uint32_t width, height;
    size_t stride_bytes; /* of the first plane; that of NV12's second plane is the same */
    void *state;
    /* 1: a frame, 0: there are no more, -1: an error, with errno set. */
    int (*next)(struct source *source, struct frame *frame);
    void (*close)(struct source *source);
};

/* A V4L2 camera. The driver may choose another format or size; `source` says which.
 * NULL, or what went wrong, with errno set. */
const char *source_open_camera(struct source *source, const char *device);

/* Raw frames, one after another, of the format and the size in `source`. */
const char *source_open_file(struct source *source, const char *path);

#endif
