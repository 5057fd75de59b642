/*
 * Adds a class by its name and segments a picture with it:
 * add_class BUNDLE.zsb PICTURE.ppm NAME [MASK.pgm]
 *
 * Prints what a class costs in each of the ways that the bundle is open to, and what segments
 * cost; then adds the class by its name, counts its pixels, and writes the mask: one byte per
 * pixel, the label of its class. Without a network in the bundle it ends with the costs.
 */
#define _POSIX_C_SOURCE 199309L

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "file.h"
#include "ppm.h"
#include "zsseg.h"

/* How often a class is added to measure the time. */
#ifndef TURNS
#define TURNS 200u
#endif

struct job {
    void *bundle;
    size_t bundle_bytes;
    zsseg_bundle_info_t info;
    struct ppm picture;
    const char *name;
    zsseg_limits_t limits;
    void *memory; /* the arena and what comes before its first aligned byte */
    zsseg_t *handle;
    float *row;
    float *embedding;
    uint8_t *labels;
    uint32_t label;
    zsseg_error_t error;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The text of a failed call on the handle. */
static zsseg_status_t noted(struct job *job, zsseg_status_t status)
{
    if (status != ZSSEG_OK && job->handle != NULL) {
        zsseg_last_error(job->handle, job->error.text, sizeof job->error.text);
    }
    return status;
}

/* Bytes of the arena with these uses and places for classes; 0 after an error. */
static size_t arena_bytes(struct job *job, uint32_t uses, uint32_t extra_classes)
{
    zsseg_limits_t limits = job->limits;
    size_t bytes = 0;
    limits.uses = uses;
    limits.extra_classes = extra_classes;
    zsseg_arena_size(job->bundle, job->bundle_bytes, &limits, &bytes, &job->error);
    return bytes;
}

static zsseg_status_t open_segmenter(struct job *job)
{
    size_t bytes;
    uint8_t *arena;
    job->limits.struct_size = sizeof job->limits;
    job->limits.max_frame_width = job->picture.width;
    job->limits.max_frame_height = job->picture.height;
    job->limits.threads = 1;
    job->limits.extra_classes = 1;
    job->limits.uses = ZSSEG_USE_FUSION;
    if ((job->info.ways & ZSSEG_WAY_GENERATOR) != 0) {
        job->limits.uses |= ZSSEG_USE_GENERATOR;
    }
    bytes = arena_bytes(job, job->limits.uses, 1);
    if (bytes == 0) {
        return job->error.status;
    }
    printf("arena: %lu bytes\n", (unsigned long)bytes);
    job->memory = malloc(bytes + ZSSEG_ARENA_ALIGN);
    if (job->memory == NULL) {
        snprintf(job->error.text, sizeof job->error.text, "no memory for the arena");
        return ZSSEG_E_ARENA_TOO_SMALL;
    }
    arena = job->memory;
    arena += ZSSEG_ARENA_ALIGN - (uintptr_t)arena % ZSSEG_ARENA_ALIGN;
    return zsseg_init(job->bundle, job->bundle_bytes, &job->limits, arena, bytes, &job->handle,
                      &job->error);
}

/* Adds the class in one of the ways. */
static zsseg_status_t add(struct job *job, uint32_t way)
{
    zsseg_new_class_t added = {0};
    added.struct_size = sizeof added;
    added.name = job->name;
    switch (way) {
    case ZSSEG_WAY_ROW:
        return zsseg_class_add_row(job->handle, &added, job->row, job->info.channels, 0.0f,
                                   &job->label);
    case ZSSEG_WAY_EMBEDDING:
        return zsseg_class_add_embedding(job->handle, &added, job->embedding,
                                         job->info.embedding_dim, ZSSEG_METHOD_DIRECT,
                                         &job->label);
    case ZSSEG_WAY_GENERATOR:
        return zsseg_class_add_word(job->handle, &added, NULL, ZSSEG_METHOD_GENERATOR,
                                    &job->label);
    default:
        return zsseg_class_add_word(job->handle, &added, NULL, ZSSEG_METHOD_DIRECT, &job->label);
    }
}

/* Adds and removes the class again and again, and prints the costs. `uses` is what memory was set
 * aside for beyond the class itself. */
static zsseg_status_t measure(struct job *job, const char *text, uint32_t way, uint32_t uses)
{
    zsseg_class_cost_t cost = {0};
    zsseg_limits_t limits = job->limits;
    uint64_t spent_ns = 0;
    unsigned turn;
    zsseg_status_t status;
    cost.struct_size = sizeof cost;
    limits.uses = uses;
    if ((job->info.ways & way) == 0) {
        return ZSSEG_OK;
    }
    status = zsseg_class_cost(job->bundle, job->bundle_bytes, &limits, &cost, &job->error);
    for (turn = 0; status == ZSSEG_OK && turn < TURNS; turn++) {
        uint64_t start = now_ns();
        status = noted(job, add(job, way));
        spent_ns += now_ns() - start;
        if (status == ZSSEG_OK) {
            status = noted(job, zsseg_class_remove(job->handle, job->label));
        }
    }
    if (status == ZSSEG_OK) {
        printf("%-10s %8lu bytes a class, %8lu bytes once, %10.1f us\n", text,
               (unsigned long)cost.bytes,
               (unsigned long)(arena_bytes(job, uses, 1) - arena_bytes(job, 0, 1)),
               (double)spent_ns / (1000.0 * TURNS));
    }
    return status;
}

static zsseg_status_t measure_ways(struct job *job)
{
    uint32_t i;
    zsseg_status_t status;
    /* Any row will do for measuring. */
    for (i = 0; i < job->info.channels; i++) {
        job->row[i] = i % 2 == 0 ? 0.125f : -0.125f;
    }
    status = measure(job, "row", ZSSEG_WAY_ROW, 0);
    if (status == ZSSEG_OK && job->info.word_count > 0) {
        status = zsseg_bundle_embed(job->bundle, job->bundle_bytes, job->name, job->embedding,
                                    job->info.embedding_dim, &job->error);
    }
    if (status == ZSSEG_OK && job->info.word_count > 0) {
        status = measure(job, "embedding", ZSSEG_WAY_EMBEDDING, 0);
    }
    if (status == ZSSEG_OK) {
        status = measure(job, "word", ZSSEG_WAY_WORD, 0);
    }
    if (status == ZSSEG_OK && job->info.word_count > 0) {
        status = measure(job, "generator", ZSSEG_WAY_GENERATOR, ZSSEG_USE_GENERATOR);
    }
    return status;
}

static zsseg_status_t segment(struct job *job)
{
    size_t pixels = (size_t)job->picture.width * job->picture.height;
    zsseg_image_t image = {0};
    zsseg_output_t output = {0};

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
    return noted(job, zsseg_segment(job->handle, &image, &output));
}

static void print_pixels(const struct job *job, const char *text)
{
    size_t pixels = (size_t)job->picture.width * job->picture.height, count = 0, i;
    for (i = 0; i < pixels; i++) {
        count += job->labels[i] == job->label;
    }
    printf("%s: %lu of %lu pixels\n", text, (unsigned long)count, (unsigned long)pixels);
}

/* Once with segments, for their cost, and once without, for the mask. */
static zsseg_status_t segment_twice(struct job *job)
{
    zsseg_fusion_t fusion = {0};
    zsseg_times_t times = {0};
    zsseg_status_t status;
    fusion.struct_size = sizeof fusion;
    fusion.mode = ZSSEG_FUSION_VOTE;
    fusion.parameter = 0.6f;
    fusion.segments = 5;
    times.struct_size = sizeof times;
    status = noted(job, zsseg_set_fusion(job->handle, &fusion));
    if (status == ZSSEG_OK) {
        status = segment(job);
    }
    if (status == ZSSEG_OK) {
        status = noted(job, zsseg_stage_times(job->handle, &times));
    }
    if (status == ZSSEG_OK) {
        printf("%-10s %8d bytes a class, %8lu bytes once, %10.1f us a frame\n", "segments", 0,
               (unsigned long)(arena_bytes(job, ZSSEG_USE_FUSION, 1) - arena_bytes(job, 0, 1)),
               (double)times.fusion_ns / 1000.0);
        print_pixels(job, "with segments");
        status = noted(job, zsseg_set_fusion(job->handle, NULL));
    }
    return status == ZSSEG_OK ? segment(job) : status;
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
    job->name = argv[3];
    job->info.struct_size = sizeof job->info;
    if (zsseg_bundle_info(job->bundle, job->bundle_bytes, &job->info, &job->error) != ZSSEG_OK) {
        return job->error.text;
    }
    job->labels = malloc((size_t)job->picture.width * job->picture.height);
    job->row = malloc(job->info.channels * sizeof(float));
    job->embedding = malloc((job->info.embedding_dim + 1u) * sizeof(float));
    if (job->labels == NULL || job->row == NULL || job->embedding == NULL) {
        return "no memory";
    }
    return NULL;
}

static zsseg_status_t run(struct job *job)
{
    zsseg_status_t status = open_segmenter(job);
    if (status == ZSSEG_OK) {
        status = noted(job, zsseg_set_clock(job->handle, now_ns));
    }
    if (status == ZSSEG_OK) {
        status = measure_ways(job);
    }
    if (status == ZSSEG_OK) {
        status = noted(job, add(job, ZSSEG_WAY_WORD));
    }
    if (status == ZSSEG_OK) {
        printf("%s has label %u\n", job->name, (unsigned)job->label);
    }
    if (status == ZSSEG_OK && job->info.backbone != ZSSEG_BACKBONE_EXTERNAL) {
        status = segment_twice(job);
    }
    if (status == ZSSEG_OK && job->info.backbone != ZSSEG_BACKBONE_EXTERNAL) {
        print_pixels(job, job->name);
    }
    return status;
}

static void job_close(struct job *job)
{
    if (job->handle != NULL) {
        zsseg_close(job->handle);
    }
    free(job->memory);
    free(job->row);
    free(job->embedding);
    free(job->labels);
    free(job->picture.pixels);
    free(job->bundle);
}

int main(int argc, char **argv)
{
    struct job job = {0};
    const char *reason;

    job.error.struct_size = sizeof job.error;
    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: %s BUNDLE.zsb PICTURE.ppm NAME [MASK.pgm]\n", argv[0]);
        return EXIT_FAILURE;
    }
    reason = load(&job, argv);
    if (reason == NULL && run(&job) != ZSSEG_OK) {
        reason = job.error.text;
    }
    if (reason == NULL && argc == 5 && job.info.backbone != ZSSEG_BACKBONE_EXTERNAL) {
        reason = pgm_write(argv[4], job.labels, job.picture.width, job.picture.height);
    }
    if (reason != NULL) {
        fprintf(stderr, "%s: %s\n", argv[0], reason);
    }
    job_close(&job);
    return reason == NULL ? EXIT_SUCCESS : EXIT_FAILURE;
}
