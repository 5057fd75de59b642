/*
 * Segments a picture: segment_image BUNDLE.zsb PICTURE.ppm [MASK.pgm]
 *
 * Prints the share of every class that occurs and writes the mask: one byte per pixel, the index
 * of its class.
 */
#include <stdio.h>
#include <stdlib.h>

#include "file.h"
#include "ppm.h"
#include "zsseg.h"

struct job {
    void *bundle;
    size_t bundle_bytes;
    struct ppm picture;
    void *memory; /* the arena and what comes before its first aligned byte */
    zsseg_t *handle;
    uint8_t *labels;
};

/* Sets up a segmenter in memory of the exact size. C99 has no aligned malloc, so this takes
 * enough to find an aligned start within. */
static zsseg_status_t open_segmenter(struct job *job, zsseg_error_t *error)
{
    zsseg_limits_t limits = {0};
    size_t bytes = 0;
    uint8_t *arena;
    zsseg_status_t status;

    limits.struct_size = sizeof limits;
    limits.threads = 1;
    limits.max_frame_width = job->picture.width;
    limits.max_frame_height = job->picture.height;
    status = zsseg_arena_size(job->bundle, job->bundle_bytes, &limits, &bytes, error);
    if (status != ZSSEG_OK) {
        return status;
    }
    printf("arena: %lu bytes\n", (unsigned long)bytes);
    job->memory = malloc(bytes + ZSSEG_ARENA_ALIGN);
    if (job->memory == NULL) {
        snprintf(error->text, sizeof error->text, "no memory for the arena");
        return ZSSEG_E_ARENA_TOO_SMALL;
    }
    arena = job->memory;
    arena += ZSSEG_ARENA_ALIGN - (uintptr_t)arena % ZSSEG_ARENA_ALIGN;
    return zsseg_init(job->bundle, job->bundle_bytes, &limits, arena, bytes, &job->handle, error);
}

static zsseg_status_t segment(struct job *job, zsseg_error_t *error)
{
    size_t pixels = (size_t)job->picture.width * job->picture.height;
    zsseg_image_t image = {0};
    zsseg_output_t output = {0};
    zsseg_status_t status;

    image.struct_size = sizeof image;
    image.format = ZSSEG_FORMAT_RGB8;
    image.width = job->picture.width;
    image.height = job->picture.height;
    image.planes[0] = job->picture.pixels;
    image.stride_bytes[0] = (size_t)job->picture.width * 3;
    image.plane_bytes[0] = pixels * 3;

    output.struct_size = sizeof output;
    output.label_type = ZSSEG_LABELS_U8;
    output.labels = job->labels;
    output.labels_stride_bytes = job->picture.width;
    output.labels_bytes = pixels;

    status = zsseg_segment(job->handle, &image, &output);
    if (status != ZSSEG_OK) {
        zsseg_last_error(job->handle, error->text, sizeof error->text);
    }
    return status;
}

/* The share of every class that occurs, in the order of the classes. */
static void print_shares(const struct job *job)
{
    size_t counts[256] = {0};
    size_t pixels = (size_t)job->picture.width * job->picture.height, i;
    for (i = 0; i < pixels; i++) {
        counts[job->labels[i]] += 1;
    }
    for (i = 0; i < 256; i++) {
        zsseg_class_t found = {0};
        const char *name = "(unlabelled)";
        found.struct_size = sizeof found;
        if (counts[i] > 0) {
            if (zsseg_bundle_class(job->bundle, job->bundle_bytes, (uint32_t)i, &found, NULL) ==
                ZSSEG_OK) {
                name = found.name;
            }
            printf("%6.2f %%  %s\n", 100.0 * (double)counts[i] / (double)pixels, name);
        }
    }
}

/* Reads the inputs; NULL, or what is wrong with them. */
static const char *load(struct job *job, char **argv)
{
    const char *reason;
    job->bundle = file_read(argv[1], &job->bundle_bytes);
    if (job->bundle == NULL) {
        return "the bundle cannot be read";
    }
    reason = ppm_read(argv[2], &job->picture);
    if (reason != NULL) {
        return reason;
    }
    job->labels = malloc((size_t)job->picture.width * job->picture.height);
    return job->labels == NULL ? "no memory for the mask" : NULL;
}

static const char *run(struct job *job, zsseg_error_t *error)
{
    zsseg_status_t status = open_segmenter(job, error);
    if (status == ZSSEG_OK) {
        status = segment(job, error);
    }
    return status == ZSSEG_OK ? NULL : error->text;
}

int main(int argc, char **argv)
{
    struct job job = {0};
    zsseg_error_t error = {sizeof error, ZSSEG_OK, ""};
    const char *reason;

    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: %s BUNDLE.zsb PICTURE.ppm [MASK.pgm]\n", argv[0]);
        return EXIT_FAILURE;
    }
    reason = load(&job, argv);
    if (reason == NULL) {
        reason = run(&job, &error);
    }
    if (reason == NULL) {
        print_shares(&job);
        if (argc == 4) {
            reason = pgm_write(argv[3], job.labels, job.picture.width, job.picture.height);
        }
    }
    if (reason != NULL) {
        fprintf(stderr, "%s: %s\n", argv[0], reason);
    }
    if (job.handle != NULL) {
        zsseg_close(job.handle);
    }
    free(job.memory);
    free(job.labels);
    free(job.picture.pixels);
    free(job.bundle);
    return reason == NULL ? EXIT_SUCCESS : EXIT_FAILURE;
}
