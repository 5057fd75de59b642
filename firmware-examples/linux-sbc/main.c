/*
 * Segments what a camera sees, or raw frames of a file, and writes masks:
 *
 *     masks BUNDLE.zsb OUT /dev/video0 WIDTH HEIGHT [FRAMES]
 *     masks BUNDLE.zsb OUT FRAMES.nv12|FRAMES.yuyv WIDTH HEIGHT [FRAMES]
 *
 * Mask N goes to OUT-N.pgm: a byte per pixel, the index of its class.
 */
#include "source.h"
#include "zsseg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct job {
    const void *bundle;
    size_t bundle_bytes;
    struct source source;
    void *arena;
    uint8_t *labels;
    zsseg_t *handle;
    zsseg_error_t error;
};

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* CRC-32 as in zlib, to compare masks of different machines. */
static uint32_t crc32_of(const uint8_t *data, size_t bytes)
{
    uint32_t crc = 0xffffffffu;
    size_t i;
    for (i = 0; i < bytes; i++) {
        unsigned bit;
        crc ^= data[i];
        for (bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}

/* Maps the bundle: its weights are read from the page cache, not copied. */
static const char *map_bundle(struct job *job, const char *path)
{
    struct stat status;
    void *start = MAP_FAILED;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file == -1) {
        return "the bundle cannot be opened";
    }
    if (fstat(file, &status) == 0 && status.st_size > 0) {
        job->bundle_bytes = (size_t)status.st_size;
        start = mmap(NULL, job->bundle_bytes, PROT_READ, MAP_PRIVATE, file, 0);
    }
    close(file);
    if (start == MAP_FAILED) {
        return "the bundle cannot be mapped";
    }
    job->bundle = start;
    return NULL;
}

static const char *open_source(struct job *job, const char *name)
{
    const char *end = strrchr(name, '.');
    if (end != NULL && strcmp(end, ".nv12") == 0) {
        job->source.format = ZSSEG_FORMAT_NV12;
        return source_open_file(&job->source, name);
    }
    if (end != NULL && strcmp(end, ".yuyv") == 0) {
        job->source.format = ZSSEG_FORMAT_YUYV;
        return source_open_file(&job->source, name);
    }
    return source_open_camera(&job->source, name);
}

/* Memory of the exact size for the frames that the source will give. */
static const char *open_segmenter(struct job *job)
{
    zsseg_limits_t limits = {0};
    size_t arena_bytes = 0;
    limits.struct_size = sizeof limits;
    limits.threads = 1;
    limits.max_frame_width = job->source.width;
    limits.max_frame_height = job->source.height;
    if (zsseg_arena_size(job->bundle, job->bundle_bytes, &limits, &arena_bytes, &job->error) !=
        ZSSEG_OK) {
        return job->error.text;
    }
    printf("arena-bytes %lu\n", (unsigned long)arena_bytes);
    job->arena = aligned_alloc(ZSSEG_ARENA_ALIGN, arena_bytes);
    job->labels = malloc((size_t)job->source.width * job->source.height);
    if (job->arena == NULL || job->labels == NULL) {
        return "no memory for the segmenter";
    }
    if (zsseg_init(job->bundle, job->bundle_bytes, &limits, job->arena, arena_bytes, &job->handle,
                   &job->error) != ZSSEG_OK) {
        return job->error.text;
    }
    return NULL;
}

static const char *segment(struct job *job, const struct frame *frame)
{
    const struct source *source = &job->source;
    const size_t luma_bytes = source->stride_bytes * source->height;
    const size_t pixels = (size_t)source->width * source->height;
    zsseg_image_t image = {0};
    zsseg_output_t output = {0};

    image.struct_size = sizeof image;
    image.format = source->format;
    image.width = source->width;
    image.height = source->height;
    image.planes[0] = frame->data;
    image.stride_bytes[0] = source->stride_bytes;
    image.plane_bytes[0] = frame->bytes;
    if (source->format == ZSSEG_FORMAT_NV12) {
        if (frame->bytes < luma_bytes) {
            return "a frame is too short";
        }
        image.plane_bytes[0] = luma_bytes;
        image.planes[1] = frame->data + luma_bytes;
        image.stride_bytes[1] = source->stride_bytes;
        image.plane_bytes[1] = frame->bytes - luma_bytes;
    }
    output.struct_size = sizeof output;
    output.label_type = ZSSEG_LABELS_U8;
    output.labels = job->labels;
    output.labels_stride_bytes = source->width;
    output.labels_bytes = pixels;
    if (zsseg_segment(job->handle, &image, &output) != ZSSEG_OK) {
        zsseg_last_error(job->handle, job->error.text, sizeof job->error.text);
        return job->error.text;
    }
    return NULL;
}

static const char *write_mask(const struct job *job, const char *out, unsigned long index)
{
    const size_t pixels = (size_t)job->source.width * job->source.height;
    char path[4096];
    FILE *file;
    size_t written;
    const int length = snprintf(path, sizeof path, "%s-%lu.pgm", out, index);
    if (length < 0 || (size_t)length >= sizeof path) {
        return "the mask's name is too long";
    }
    file = fopen(path, "wb");
    if (file == NULL) {
        return "a mask cannot be written";
    }
    fprintf(file, "P5\n%lu %lu\n255\n", (unsigned long)job->source.width,
            (unsigned long)job->source.height);
    written = fwrite(job->labels, 1, pixels, file);
    if (fclose(file) != 0 || written != pixels) {
        return "a mask cannot be written";
    }
    return NULL;
}

static const char *run(struct job *job, const char *out, unsigned long frames)
{
    unsigned long index;
    for (index = 0; index < frames; index++) {
        struct frame frame;
        const char *reason;
        uint64_t start;
        const int found = job->source.next(&job->source, &frame);
        if (found < 0) {
            return "a frame cannot be read";
        }
        if (found == 0) {
            break;
        }
        start = now_us();
        reason = segment(job, &frame);
        if (reason != NULL) {
            return reason;
        }
        printf("frame %lu mask-crc32 %lu us %lu\n", index,
               (unsigned long)crc32_of(job->labels,
                                       (size_t)job->source.width * job->source.height),
               (unsigned long)(now_us() - start));
        reason = write_mask(job, out, index);
        if (reason != NULL) {
            return reason;
        }
    }
    return NULL;
}

/* A whole number from 1 to `most`; 0 for anything else. */
static unsigned long number_of(const char *text, unsigned long most)
{
    char *end;
    const unsigned long value = strtoul(text, &end, 10);
    return *end == '\0' && value <= most ? value : 0;
}

int main(int argc, char **argv)
{
    struct job job = {0};
    unsigned long frames = 100;
    const char *reason;

    if (argc == 6 || argc == 7) {
        job.source.width = (uint32_t)number_of(argv[4], 16384);
        job.source.height = (uint32_t)number_of(argv[5], 16384);
        frames = argc == 7 ? number_of(argv[6], 1000000) : frames;
    }
    if (job.source.width == 0 || job.source.height == 0 || frames == 0) {
        fprintf(stderr, "usage: %s BUNDLE.zsb OUT CAMERA|FILE.nv12|FILE.yuyv WIDTH HEIGHT [FRAMES]\n",
                argv[0]);
        return 2;
    }
    job.error.struct_size = sizeof job.error;
    errno = 0;
    reason = map_bundle(&job, argv[1]);
    if (reason == NULL) {
        reason = open_source(&job, argv[3]);
    }
    if (reason == NULL) {
        reason = open_segmenter(&job);
    }
    if (reason == NULL) {
        reason = run(&job, argv[2], frames);
    }
    if (reason != NULL) {
        fprintf(stderr, "%s: %s%s%s\n", argv[0], reason, errno == 0 ? "" : ": ",
                errno == 0 ? "" : strerror(errno));
    }
    if (job.handle != NULL) {
        zsseg_close(job.handle);
    }
    if (job.source.state != NULL) {
        job.source.close(&job.source);
    }
    free(job.labels);
    free(job.arena);
    return reason == NULL ? 0 : 1;
}
