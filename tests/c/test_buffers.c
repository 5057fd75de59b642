/*
 * Frames, features and outputs that do not fit, and buffers that share bytes. The tiny bundle has
 * no network, so a frame without fault ends in ZSSEG_E_UNSUPPORTED; whatever is wrong with it is
 * found before that.
 */
#include <stdlib.h>

#include "check.h"
#include "tests.h"

static const struct {
    uint32_t format;
    size_t planes;
    size_t row_bytes[3]; /* of a frame 5 pixels wide */
    size_t rows[3];      /* of a frame 3 pixels high */
} FORMATS[] = {
    {ZSSEG_FORMAT_RGB8, 1, {15, 0, 0}, {3, 0, 0}},
    {ZSSEG_FORMAT_BGR8, 1, {15, 0, 0}, {3, 0, 0}},
    {ZSSEG_FORMAT_RGBA8, 1, {20, 0, 0}, {3, 0, 0}},
    {ZSSEG_FORMAT_BGRA8, 1, {20, 0, 0}, {3, 0, 0}},
    {ZSSEG_FORMAT_GRAY8, 1, {5, 0, 0}, {3, 0, 0}},
    {ZSSEG_FORMAT_NV12, 2, {5, 6, 0}, {3, 2, 0}},
    {ZSSEG_FORMAT_NV21, 2, {5, 6, 0}, {3, 2, 0}},
    {ZSSEG_FORMAT_I420, 3, {5, 3, 3}, {3, 2, 2}},
    {ZSSEG_FORMAT_YUYV, 1, {12, 0, 0}, {3, 0, 0}},
    {ZSSEG_FORMAT_UYVY, 1, {12, 0, 0}, {3, 0, 0}},
};

#define FORMAT_COUNT (sizeof FORMATS / sizeof FORMATS[0])

static zsseg_image_t image_of(size_t number, const uint8_t *memory)
{
    zsseg_image_t image;
    size_t plane;
    memset(&image, 0, sizeof image);
    image.struct_size = sizeof image;
    image.format = FORMATS[number].format;
    image.width = 5;
    image.height = 3;
    for (plane = 0; plane < FORMATS[number].planes; plane++) {
        image.planes[plane] = memory + 64 * plane;
        image.stride_bytes[plane] = FORMATS[number].row_bytes[plane];
        image.plane_bytes[plane] = FORMATS[number].row_bytes[plane] * FORMATS[number].rows[plane];
    }
    return image;
}

static void check_format(zsseg_t *handle, size_t number, const uint8_t *memory,
                         const zsseg_output_t *output)
{
    zsseg_image_t image = image_of(number, memory);
    size_t plane;
    CHECK_STATUS(zsseg_segment(handle, &image, output), ZSSEG_E_UNSUPPORTED);
    for (plane = 0; plane < FORMATS[number].planes; plane++) {
        image = image_of(number, memory);
        image.stride_bytes[plane] -= 1;
        CHECK_STATUS(zsseg_segment(handle, &image, output), ZSSEG_E_STRIDE_TOO_SHORT);
        image.stride_bytes[plane] = 0;
        CHECK_STATUS(zsseg_segment(handle, &image, output), ZSSEG_E_STRIDE_TOO_SHORT);
        image.stride_bytes[plane] = SIZE_MAX;
        CHECK_STATUS(zsseg_segment(handle, &image, output), ZSSEG_E_BUFFER_TOO_SMALL);
        image = image_of(number, memory);
        image.plane_bytes[plane] -= 1;
        CHECK_STATUS(zsseg_segment(handle, &image, output), ZSSEG_E_BUFFER_TOO_SMALL);
        image.plane_bytes[plane] = 0;
        CHECK_STATUS(zsseg_segment(handle, &image, output), ZSSEG_E_BUFFER_TOO_SMALL);
        image.plane_bytes[plane] = SIZE_MAX;
        CHECK(zsseg_segment(handle, &image, output) != ZSSEG_OK);
        image = image_of(number, memory);
        image.planes[plane] = NULL;
        CHECK_STATUS(zsseg_segment(handle, &image, output), ZSSEG_E_NULL_POINTER);
    }
}

static void check_frame_fields(zsseg_t *handle, const uint8_t *memory,
                               const zsseg_output_t *output)
{
    static const uint32_t SIDES[] = {0, FRAME_WIDTH + 1, 16385, UINT32_MAX};
    zsseg_image_t image;
    size_t i;
    for (i = 0; i < sizeof SIDES / sizeof SIDES[0]; i++) {
        image = image_of(4, memory);
        image.width = SIDES[i];
        /* Too wide a frame for its stride is wrong twice; either error will do. */
        CHECK(zsseg_segment(handle, &image, output) == ZSSEG_E_FRAME_SIZE ||
              SIDES[i] == FRAME_WIDTH + 1);
        image = image_of(4, memory);
        image.height = SIDES[i];
        CHECK(zsseg_segment(handle, &image, output) == ZSSEG_E_FRAME_SIZE ||
              SIDES[i] == FRAME_WIDTH + 1);
    }
    image = image_of(0, memory);
    image.format = 0;
    CHECK_STATUS(zsseg_segment(handle, &image, output), ZSSEG_E_PIXEL_FORMAT);
    image.format = UINT32_MAX;
    CHECK_STATUS(zsseg_segment(handle, &image, output), ZSSEG_E_PIXEL_FORMAT);
    image = image_of(5, memory);
    image.color_matrix = 2;
    CHECK_STATUS(zsseg_segment(handle, &image, output), ZSSEG_E_INVALID_ARGUMENT);
    image = image_of(5, memory);
    image.color_range = 2;
    CHECK_STATUS(zsseg_segment(handle, &image, output), ZSSEG_E_INVALID_ARGUMENT);
}

void test_frames(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open(fixture->tiny, FRAME_WIDTH, FRAME_HEIGHT);
    struct bytes memory = bytes_new(64 * 3);
    struct planes planes = planes_new(5, 3);
    zsseg_output_t output = output_of(&planes, 5);
    zsseg_features_t found;
    size_t number;

    bytes_fill(memory, 0);
    for (number = 0; number < FORMAT_COUNT; number++) {
        check_format(segmenter.handle, number, memory.data, &output);
    }
    check_frame_fields(segmenter.handle, memory.data, &output);
    memset(&found, 0, sizeof found);
    found.struct_size = sizeof found;
    CHECK_STATUS(zsseg_features(segmenter.handle, &found), ZSSEG_E_UNSUPPORTED);
    CHECK(bytes_are((const uint8_t *)&found + 4, sizeof found - 4, 0));
    CHECK(planes_untouched(&planes));

    segmenter_close(&segmenter);
    bytes_free(&memory);
    planes_free(&planes);
}

/* One call that must fail with `wanted` and leave the planes alone. */
static void check_output(zsseg_t *handle, const zsseg_output_t *output,
                         const struct planes *planes, zsseg_status_t wanted)
{
    struct bytes values = features_new(3);
    zsseg_features_t features = features_of(values);
    CHECK_STATUS(zsseg_segment_features(handle, &features, FRAME_WIDTH, FRAME_HEIGHT, output),
                 wanted);
    CHECK(planes_untouched(planes));
    bytes_free(&values);
}

static void check_short_outputs(zsseg_t *handle, const struct planes *planes)
{
    zsseg_output_t output = output_of(planes, FRAME_WIDTH);
    size_t *const strides[4] = {&output.labels_stride_bytes, &output.confidence_stride_bytes,
                                &output.margin_stride_bytes, &output.unknown_stride_bytes};
    size_t *const lengths[4] = {&output.labels_bytes, &output.confidence_bytes,
                                &output.margin_bytes, &output.unknown_bytes};
    size_t plane;
    for (plane = 0; plane < 4; plane++) {
        *strides[plane] = FRAME_WIDTH - 1;
        check_output(handle, &output, planes, ZSSEG_E_STRIDE_TOO_SHORT);
        *strides[plane] = 0;
        check_output(handle, &output, planes, ZSSEG_E_STRIDE_TOO_SHORT);
        *strides[plane] = SIZE_MAX;
        check_output(handle, &output, planes, ZSSEG_E_LIMIT_EXCEEDED);
        *strides[plane] = FRAME_WIDTH + 1;
        check_output(handle, &output, planes, ZSSEG_E_BUFFER_TOO_SMALL);
        *strides[plane] = FRAME_WIDTH;
        *lengths[plane] = FRAME_PIXELS - 1;
        check_output(handle, &output, planes, ZSSEG_E_BUFFER_TOO_SMALL);
        *lengths[plane] = 0;
        check_output(handle, &output, planes, ZSSEG_E_BUFFER_TOO_SMALL);
        *lengths[plane] = FRAME_PIXELS;
    }
}

/* Labels of two bytes, rows apart: equal to those of one byte, padding left alone. */
static void check_wide_labels(zsseg_t *handle)
{
    const size_t stride = 2 * FRAME_WIDTH + 6;
    struct bytes values = features_new(3);
    zsseg_features_t features = features_of(values);
    struct planes narrow = planes_new(FRAME_WIDTH, FRAME_HEIGHT);
    struct bytes wide = bytes_new(stride * (FRAME_HEIGHT - 1) + 2 * FRAME_WIDTH);
    zsseg_output_t output = output_of(&narrow, FRAME_WIDTH);
    size_t x, y;

    CHECK_STATUS(
        zsseg_segment_features(handle, &features, FRAME_WIDTH, FRAME_HEIGHT, &output), ZSSEG_OK);
    bytes_fill(wide, PATTERN);
    memset(&output, 0, sizeof output);
    output.struct_size = sizeof output;
    output.label_type = ZSSEG_LABELS_U16;
    output.labels = wide.data;
    output.labels_stride_bytes = stride;
    output.labels_bytes = wide.len;
    CHECK_STATUS(
        zsseg_segment_features(handle, &features, FRAME_WIDTH, FRAME_HEIGHT, &output), ZSSEG_OK);
    for (y = 0; y < FRAME_HEIGHT; y++) {
        for (x = 0; x < FRAME_WIDTH; x++) {
            uint16_t label;
            memcpy(&label, wide.data + y * stride + 2 * x, sizeof label);
            CHECK(label == narrow.labels.data[y * FRAME_WIDTH + x]);
        }
        CHECK(y + 1 == FRAME_HEIGHT ||
              bytes_are(wide.data + y * stride + 2 * FRAME_WIDTH, 6, PATTERN));
    }
    bytes_free(&values);
    bytes_free(&wide);
    planes_free(&narrow);
}

static void check_wide_errors(zsseg_t *handle)
{
    struct planes planes = planes_new(2 * FRAME_WIDTH + 2, FRAME_HEIGHT);
    zsseg_output_t output = output_of(&planes, 2 * FRAME_WIDTH + 2);
    output.label_type = ZSSEG_LABELS_U16;
    output.labels = planes.labels.data + 1;
    output.labels_bytes -= 2;
    check_output(handle, &output, &planes, ZSSEG_E_INVALID_ARGUMENT);
    output.labels = planes.labels.data;
    output.labels_stride_bytes = 2 * FRAME_WIDTH + 1;
    check_output(handle, &output, &planes, ZSSEG_E_INVALID_ARGUMENT);
    output.labels_stride_bytes = 2 * FRAME_WIDTH - 2;
    check_output(handle, &output, &planes, ZSSEG_E_STRIDE_TOO_SHORT);
    output.label_type = 0;
    check_output(handle, &output, &planes, ZSSEG_E_INVALID_ARGUMENT);
    output.label_type = 3;
    check_output(handle, &output, &planes, ZSSEG_E_INVALID_ARGUMENT);
    planes_free(&planes);
}

void test_outputs(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open(fixture->tiny, FRAME_WIDTH, FRAME_HEIGHT);
    struct planes planes = planes_new(FRAME_WIDTH, FRAME_HEIGHT);
    check_short_outputs(segmenter.handle, &planes);
    check_wide_labels(segmenter.handle);
    check_wide_errors(segmenter.handle);
    planes_free(&planes);
    segmenter_close(&segmenter);
}

static void check_odd_values(zsseg_t *handle, uint32_t bits)
{
    struct bytes values = features_new(5);
    zsseg_features_t features = features_of(values);
    struct planes planes = planes_new(FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_output_t output = output_of(&planes, FRAME_WIDTH);
    size_t i;
    for (i = 0; i < FEATURE_COUNT; i += 3) {
        memcpy(values.data + i * sizeof bits, &bits, sizeof bits);
    }
    /* Whatever the network computed: some class or none, never something else. */
    CHECK_STATUS(
        zsseg_segment_features(handle, &features, FRAME_WIDTH, FRAME_HEIGHT, &output), ZSSEG_OK);
    for (i = 0; i < FRAME_PIXELS; i++) {
        CHECK(planes.labels.data[i] < CLASSES || planes.labels.data[i] == ZSSEG_UNLABELED_U8);
    }
    bytes_free(&values);
    planes_free(&planes);
}

void test_features(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open(fixture->tiny, FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_t *handle = segmenter.handle;
    struct bytes values = features_new(1);
    zsseg_features_t good = features_of(values), bad;
    struct planes planes = planes_new(FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_output_t output = output_of(&planes, FRAME_WIDTH);
    static const uint32_t SIDES[] = {0, 16385, UINT32_MAX};
    size_t i;

#define WRONG(field, value, wanted)                                                              \
    bad = good;                                                                                  \
    bad.field = (value);                                                                         \
    CHECK_STATUS(zsseg_segment_features(handle, &bad, FRAME_WIDTH, FRAME_HEIGHT, &output), wanted)

    WRONG(layout, ZSSEG_LAYOUT_CHW, ZSSEG_E_MODEL_SHAPE);
    WRONG(layout, 2, ZSSEG_E_INVALID_ARGUMENT);
    WRONG(len, FEATURE_COUNT - 1, ZSSEG_E_INVALID_ARGUMENT);
    WRONG(len, 0, ZSSEG_E_INVALID_ARGUMENT);
    WRONG(grid_width, 0, ZSSEG_E_INVALID_ARGUMENT);
    WRONG(grid_height, UINT32_MAX, ZSSEG_E_INVALID_ARGUMENT);
    WRONG(channels, CHANNELS + 1, ZSSEG_E_INVALID_ARGUMENT);
    WRONG(data, (const float *)(const void *)(values.data + 1), ZSSEG_E_INVALID_ARGUMENT);
#undef WRONG
    bad = good;
    bad.len = SIZE_MAX; /* may reach over an output too: either error will do */
    CHECK(zsseg_segment_features(handle, &bad, FRAME_WIDTH, FRAME_HEIGHT, &output) != ZSSEG_OK);
    bad = good;
    bad.grid_width = GRID_HEIGHT;
    bad.grid_height = GRID_WIDTH;
    CHECK_STATUS(zsseg_segment_features(handle, &bad, FRAME_WIDTH, FRAME_HEIGHT, &output),
                 ZSSEG_E_MODEL_SHAPE);
    for (i = 0; i < sizeof SIDES / sizeof SIDES[0]; i++) {
        CHECK_STATUS(zsseg_segment_features(handle, &good, SIDES[i], 1, &output),
                     ZSSEG_E_FRAME_SIZE);
        CHECK_STATUS(zsseg_segment_features(handle, &good, 1, SIDES[i], &output),
                     ZSSEG_E_FRAME_SIZE);
    }
    CHECK_STATUS(zsseg_segment_features(handle, &good, FRAME_WIDTH + 1, 1, &output),
                 ZSSEG_E_FRAME_SIZE);
    CHECK_STATUS(zsseg_segment_features(handle, &good, 1, FRAME_HEIGHT + 1, &output),
                 ZSSEG_E_FRAME_SIZE);
    CHECK(planes_untouched(&planes));
    check_odd_values(handle, 0x7FC00000u); /* NaN */
    check_odd_values(handle, 0x7F800000u); /* infinity */
    check_odd_values(handle, 0xFF800000u); /* -infinity */
    check_odd_values(handle, 0x7F7FFFFFu); /* the largest number */

    segmenter_close(&segmenter);
    bytes_free(&values);
    planes_free(&planes);
}

/* One call with outputs that share bytes with something, which must be refused. */
static void check_shared(zsseg_t *handle, const zsseg_features_t *features,
                         const zsseg_output_t *output, const struct planes *planes)
{
    CHECK_STATUS(zsseg_segment_features(handle, features, FRAME_WIDTH, FRAME_HEIGHT, output),
                 ZSSEG_E_OVERLAP);
    CHECK(planes_untouched(planes));
}

/* Puts each plane of the output at `place` in turn. */
static void check_place(zsseg_t *handle, const zsseg_features_t *features, uint8_t *place,
                        const struct planes *planes)
{
    zsseg_output_t output = output_of(planes, FRAME_WIDTH);
    output.labels = place;
    check_shared(handle, features, &output, planes);
    output = output_of(planes, FRAME_WIDTH);
    output.confidence = place;
    check_shared(handle, features, &output, planes);
    output = output_of(planes, FRAME_WIDTH);
    output.margin = place;
    check_shared(handle, features, &output, planes);
    output = output_of(planes, FRAME_WIDTH);
    output.unknown = place;
    check_shared(handle, features, &output, planes);
}

/* Outputs that share their first or last byte with one another. */
static void check_outputs_shared(zsseg_t *handle, const zsseg_features_t *features)
{
    struct planes planes = planes_new(FRAME_WIDTH, 4 * FRAME_HEIGHT);
    uint8_t *const middle = planes.labels.data + FRAME_PIXELS;
    size_t distance;
    for (distance = 0; distance < FRAME_PIXELS; distance += FRAME_PIXELS - 1) {
        zsseg_output_t output = output_of(&planes, FRAME_WIDTH);
        output.labels = middle;
        output.labels_bytes = output.confidence_bytes = output.margin_bytes = FRAME_PIXELS;
        output.confidence = middle + distance;
        check_shared(handle, features, &output, &planes);
        output.confidence = middle - distance;
        check_shared(handle, features, &output, &planes);
        output.confidence = NULL;
        output.margin = middle + distance;
        check_shared(handle, features, &output, &planes);
        output.confidence = middle + 2 * FRAME_PIXELS;
        output.margin = output.confidence - distance;
        check_shared(handle, features, &output, &planes);
        output.margin = NULL;
        output.unknown = middle + distance;
        output.unknown_bytes = FRAME_PIXELS;
        check_shared(handle, features, &output, &planes);
    }
    planes_free(&planes);
}

static void check_places_in_frame(zsseg_t *handle, const struct planes *planes)
{
    struct bytes pixels = bytes_new(FRAME_PIXELS * 4);
    zsseg_image_t image = image_rgb8(pixels.data, FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_output_t output = output_of(planes, FRAME_WIDTH);
    bytes_fill(pixels, PATTERN);
    output.labels = pixels.data + FRAME_PIXELS * 3 - 1;
    CHECK_STATUS(zsseg_segment(handle, &image, &output), ZSSEG_E_OVERLAP);
    output.labels = pixels.data + FRAME_PIXELS * 3;
    CHECK_STATUS(zsseg_segment(handle, &image, &output), ZSSEG_E_UNSUPPORTED);
    image.planes[0] = planes->confidence.data;
    image.plane_bytes[0] = 1;
    CHECK_STATUS(zsseg_segment(handle, &image, &output), ZSSEG_E_OVERLAP);
    CHECK(bytes_are(pixels.data, pixels.len, PATTERN));
    bytes_free(&pixels);
}

void test_overlap(const struct fixture *fixture)
{
    struct bytes memory = bytes_aligned(1 << 16);
    struct bytes bundle = bytes_copy(fixture->tiny, fixture->tiny.len);
    struct segmenter segmenter = segmenter_open(bundle, FRAME_WIDTH, FRAME_HEIGHT);
    struct bytes values = features_new(1);
    zsseg_features_t features = features_of(values);
    struct planes planes = planes_new(FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_limits_t limits = limits_for(FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_t *handle = NULL;

    check_place(segmenter.handle, &features, segmenter.arena.data, &planes);
    check_place(segmenter.handle, &features, segmenter.arena.data + segmenter.arena.len - 1,
                &planes);
    check_place(segmenter.handle, &features, bundle.data, &planes);
    check_place(segmenter.handle, &features, bundle.data + bundle.len - 1, &planes);
    check_place(segmenter.handle, &features, values.data + values.len - 1, &planes);
    check_outputs_shared(segmenter.handle, &features);
    check_places_in_frame(segmenter.handle, &planes);
    CHECK(memcmp(bundle.data, fixture->tiny.data, bundle.len) == 0);

    /* A bundle inside the arena would be overwritten. */
    memcpy(memory.data + 64, bundle.data, bundle.len);
    CHECK_STATUS(zsseg_init(memory.data + 64, bundle.len, &limits, memory.data, memory.len,
                            &handle, NULL),
                 ZSSEG_E_OVERLAP);
    CHECK(handle == NULL && memcmp(memory.data + 64, bundle.data, bundle.len) == 0);

    segmenter_close(&segmenter);
    bytes_free(&memory);
    bytes_free(&bundle);
    bytes_free(&values);
    planes_free(&planes);
}
