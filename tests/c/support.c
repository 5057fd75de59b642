#define _POSIX_C_SOURCE 200112L

#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static void give_up(const char *what)
{
    fprintf(stderr, "cannot go on: %s\n", what);
    exit(2);
}

struct bytes bytes_new(size_t len)
{
    struct bytes bytes = {NULL, 0};
    bytes.data = malloc(len);
    if (bytes.data == NULL && len > 0) {
        give_up("no memory");
    }
    bytes.len = len;
    return bytes;
}

struct bytes bytes_aligned(size_t len)
{
    struct bytes bytes = {NULL, 0};
    void *data = NULL;
    if (posix_memalign(&data, ZSSEG_ARENA_ALIGN, len) != 0) {
        give_up("no memory");
    }
    bytes.data = data;
    bytes.len = len;
    return bytes;
}

static size_t file_size(FILE *file)
{
    long size = -1;
    if (fseek(file, 0, SEEK_END) == 0) {
        size = ftell(file);
    }
    rewind(file);
    return size < 0 ? 0 : (size_t)size;
}

struct bytes bytes_read(const char *path)
{
    struct bytes bytes;
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        give_up(path);
    }
    bytes = bytes_new(file_size(file));
    if (bytes.len == 0 || fread(bytes.data, 1, bytes.len, file) != bytes.len) {
        give_up(path);
    }
    fclose(file);
    return bytes;
}

struct bytes bytes_copy(struct bytes source, size_t len)
{
    struct bytes bytes = bytes_new(len);
    if (len > 0) {
        memcpy(bytes.data, source.data, len);
    }
    return bytes;
}

void bytes_fill(struct bytes bytes, uint8_t value)
{
    if (bytes.len > 0) {
        memset(bytes.data, value, bytes.len);
    }
}

void bytes_free(struct bytes *bytes)
{
    free(bytes->data);
    bytes->data = NULL;
    bytes->len = 0;
}

int bytes_are(const uint8_t *data, size_t len, uint8_t value)
{
    size_t i;
    for (i = 0; i < len; i++) {
        if (data[i] != value) {
            return 0;
        }
    }
    return 1;
}

zsseg_limits_t limits_for(uint32_t width, uint32_t height)
{
    zsseg_limits_t limits;
    memset(&limits, 0, sizeof limits);
    limits.struct_size = sizeof limits;
    limits.max_frame_width = width;
    limits.max_frame_height = height;
    limits.threads = 1;
    return limits;
}

struct segmenter segmenter_open(struct bytes bundle, uint32_t width, uint32_t height)
{
    zsseg_limits_t limits = limits_for(width, height);
    return segmenter_open_with(bundle, &limits);
}

struct segmenter segmenter_open_all(struct bytes bundle)
{
    zsseg_limits_t limits = limits_for(FRAME_WIDTH, FRAME_HEIGHT);
    limits.extra_classes = 2;
    limits.uses = ZSSEG_USE_SMOOTHING | ZSSEG_USE_FUSION;
    return segmenter_open_with(bundle, &limits);
}

struct segmenter segmenter_open_with(struct bytes bundle, const zsseg_limits_t *limits)
{
    struct segmenter segmenter = {NULL, {NULL, 0}};
    zsseg_error_t error = {sizeof error, 0, ""};
    size_t need = 0;
    if (zsseg_arena_size(bundle.data, bundle.len, limits, &need, &error) != ZSSEG_OK) {
        give_up(error.text);
    }
    segmenter.arena = bytes_aligned(need);
    if (zsseg_init(bundle.data, bundle.len, limits, segmenter.arena.data, need,
                   &segmenter.handle, &error) != ZSSEG_OK) {
        give_up(error.text);
    }
    return segmenter;
}

void segmenter_close(struct segmenter *segmenter)
{
    CHECK_STATUS(zsseg_close(segmenter->handle), ZSSEG_OK);
    segmenter->handle = NULL;
    bytes_free(&segmenter->arena);
}

struct bytes features_new(unsigned seed)
{
    struct bytes values = bytes_new(FEATURE_COUNT * sizeof(float));
    size_t i;
    for (i = 0; i < FEATURE_COUNT; i++) {
        float value = (float)((i * 37u + seed * 101u) % 64u) / 8.0f - 4.0f;
        memcpy(values.data + i * sizeof value, &value, sizeof value);
    }
    return values;
}

zsseg_features_t features_of(struct bytes values)
{
    zsseg_features_t features;
    memset(&features, 0, sizeof features);
    features.struct_size = sizeof features;
    features.layout = ZSSEG_LAYOUT_HWC;
    features.data = (const float *)(const void *)values.data;
    features.len = values.len / sizeof(float);
    features.grid_height = GRID_HEIGHT;
    features.grid_width = GRID_WIDTH;
    features.channels = CHANNELS;
    return features;
}

struct planes planes_new(uint32_t width, uint32_t height)
{
    size_t pixels = (size_t)width * height;
    struct planes planes;
    planes.labels = bytes_new(pixels);
    planes.confidence = bytes_new(pixels);
    planes.margin = bytes_new(pixels);
    planes.unknown = bytes_new(pixels);
    bytes_fill(planes.labels, PATTERN);
    bytes_fill(planes.confidence, PATTERN);
    bytes_fill(planes.margin, PATTERN);
    bytes_fill(planes.unknown, PATTERN);
    return planes;
}

void planes_free(struct planes *planes)
{
    bytes_free(&planes->labels);
    bytes_free(&planes->confidence);
    bytes_free(&planes->margin);
    bytes_free(&planes->unknown);
}

int planes_untouched(const struct planes *planes)
{
    return bytes_are(planes->labels.data, planes->labels.len, PATTERN) &&
           bytes_are(planes->confidence.data, planes->confidence.len, PATTERN) &&
           bytes_are(planes->margin.data, planes->margin.len, PATTERN) &&
           bytes_are(planes->unknown.data, planes->unknown.len, PATTERN);
}

static int bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

int planes_equal(const struct planes *a, const struct planes *b)
{
    return bytes_equal(a->labels, b->labels) && bytes_equal(a->confidence, b->confidence) &&
           bytes_equal(a->margin, b->margin) && bytes_equal(a->unknown, b->unknown);
}

struct planes planes_segmented(zsseg_t *handle, unsigned seed)
{
    struct bytes values = features_new(seed);
    zsseg_features_t features = features_of(values);
    struct planes planes = planes_new(FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_output_t output = output_of(&planes, FRAME_WIDTH);
    CHECK_STATUS(zsseg_segment_features(handle, &features, FRAME_WIDTH, FRAME_HEIGHT, &output),
                 ZSSEG_OK);
    bytes_free(&values);
    return planes;
}

int mask_is_still(zsseg_t *handle, unsigned seed, const struct planes *before)
{
    struct planes planes = planes_segmented(handle, seed);
    int same = planes_equal(&planes, before);
    planes_free(&planes);
    return same;
}

size_t planes_count(const struct planes *planes, uint8_t label)
{
    size_t i, count = 0;
    for (i = 0; i < planes->labels.len; i++) {
        count += planes->labels.data[i] == label;
    }
    return count;
}

zsseg_output_t output_of(const struct planes *planes, uint32_t width)
{
    zsseg_output_t output;
    memset(&output, 0, sizeof output);
    output.struct_size = sizeof output;
    output.label_type = ZSSEG_LABELS_U8;
    output.labels = planes->labels.data;
    output.labels_stride_bytes = width;
    output.labels_bytes = planes->labels.len;
    output.confidence = planes->confidence.data;
    output.confidence_stride_bytes = width;
    output.confidence_bytes = planes->confidence.len;
    output.margin = planes->margin.data;
    output.margin_stride_bytes = width;
    output.margin_bytes = planes->margin.len;
    output.unknown = planes->unknown.data;
    output.unknown_stride_bytes = width;
    output.unknown_bytes = planes->unknown.len;
    return output;
}

zsseg_image_t image_rgb8(const uint8_t *pixels, uint32_t width, uint32_t height)
{
    zsseg_image_t image;
    memset(&image, 0, sizeof image);
    image.struct_size = sizeof image;
    image.format = ZSSEG_FORMAT_RGB8;
    image.width = width;
    image.height = height;
    image.planes[0] = pixels;
    image.stride_bytes[0] = (size_t)width * 3;
    image.plane_bytes[0] = (size_t)width * 3 * height;
    return image;
}

zsseg_new_class_t class_named(const char *name)
{
    zsseg_new_class_t added;
    memset(&added, 0, sizeof added);
    added.struct_size = sizeof added;
    added.name = name;
    return added;
}

uint32_t label_of(zsseg_t *handle, const char *name)
{
    uint32_t label = UINT32_MAX;
    zsseg_status_t status = zsseg_class_find(handle, name, &label);
    CHECK((status == ZSSEG_OK) == (label != UINT32_MAX));
    return label;
}

zsseg_class_t class_at(zsseg_t *handle, uint32_t label)
{
    zsseg_class_t found;
    memset(&found, 0, sizeof found);
    found.struct_size = sizeof found;
    CHECK_STATUS(zsseg_class_info(handle, label, &found), ZSSEG_OK);
    return found;
}
