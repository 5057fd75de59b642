/* Frames of a file: raw bytes, one frame after another. */
#include "source.h"
#include "zsseg.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct raw {
    FILE *file;
    size_t frame_bytes;
    uint8_t data[];
};

static int next(struct source *source, struct frame *frame)
{
    struct raw *raw = source->state;
    const size_t found = fread(raw->data, 1, raw->frame_bytes, raw->file);
    frame->data = raw->data;
    frame->bytes = found;
    if (found == raw->frame_bytes) {
        return 1;
    }
    if (found == 0 && feof(raw->file)) {
        return 0;
    }
    errno = EIO;
    return -1;
}

static void close_raw(struct source *source)
{
    struct raw *raw = source->state;
    fclose(raw->file);
    free(raw);
    source->state = NULL;
}

const char *source_open_file(struct source *source, const char *path)
{
    const size_t pixels = (size_t)source->width * source->height;
    const int planar = source->format == ZSSEG_FORMAT_NV12;
    const size_t frame_bytes = planar ? pixels * 3 / 2 : pixels * 2;
    struct raw *raw = malloc(sizeof *raw + frame_bytes);
    if (raw == NULL) {
        return "no memory for a frame";
    }
    raw->frame_bytes = frame_bytes;
    raw->file = fopen(path, "rb");
    if (raw->file == NULL) {
        free(raw);
        return "the file cannot be opened";
    }
    source->stride_bytes = planar ? source->width : (size_t)source->width * 2;
    source->state = raw;
    source->next = next;
    source->close = close_raw;
    return NULL;
}
