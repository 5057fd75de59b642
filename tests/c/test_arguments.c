/* NULL for every pointer, wrong sizes for every struct, limits out of range. */
#include <stdlib.h>

#include "check.h"
#include "tests.h"

static void check_null_without_handle(struct bytes tiny, struct bytes arena)
{
    zsseg_limits_t limits = limits_for(FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_error_t error = {sizeof error, 0, ""};
    zsseg_bundle_info_t info;
    zsseg_class_t class_info;
    zsseg_t *handle = NULL;
    size_t need = 77;
    const void *data = tiny.data;
    size_t len = tiny.len;

    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    memset(&class_info, 0, sizeof class_info);
    class_info.struct_size = sizeof class_info;
    CHECK_STATUS(zsseg_bundle_verify(NULL, len, &error), ZSSEG_E_NULL_POINTER);
    CHECK(error.status == ZSSEG_E_NULL_POINTER && strstr(error.text, "bundle") != NULL);
    CHECK_STATUS(zsseg_bundle_verify(NULL, 0, NULL), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_bundle_info(NULL, len, &info, NULL), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_bundle_info(data, len, NULL, &error), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_bundle_class(NULL, len, 0, &class_info, NULL), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_bundle_class(data, len, 0, NULL, NULL), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_arena_size(NULL, len, &limits, &need, NULL), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_arena_size(data, len, NULL, &need, NULL), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_arena_size(data, len, &limits, NULL, NULL), ZSSEG_E_NULL_POINTER);
    CHECK(need == 77);
    CHECK_STATUS(zsseg_init(NULL, len, &limits, arena.data, arena.len, &handle, NULL),
                 ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_init(data, len, NULL, arena.data, arena.len, &handle, NULL),
                 ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_init(data, len, &limits, NULL, arena.len, &handle, NULL),
                 ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_init(data, len, &limits, arena.data, arena.len, NULL, &error),
                 ZSSEG_E_NULL_POINTER);
    CHECK(handle == NULL);
}

void test_null(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open(fixture->tiny, FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_t *handle = segmenter.handle;
    struct bytes arena = bytes_aligned(1 << 16);
    struct bytes values = features_new(1);
    struct bytes pixels = bytes_new(FRAME_PIXELS * 3);
    zsseg_features_t features = features_of(values);
    zsseg_image_t image = image_rgb8(pixels.data, FRAME_WIDTH, FRAME_HEIGHT);
    struct planes planes = planes_new(FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_output_t output = output_of(&planes, FRAME_WIDTH);
    size_t peak;
    char text[8];

    bytes_fill(pixels, 0);
    check_null_without_handle(fixture->tiny, arena);
    CHECK_STATUS(zsseg_segment(NULL, &image, &output), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_segment(handle, NULL, &output), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_segment(handle, &image, NULL), ZSSEG_E_NULL_POINTER);
    image.planes[0] = NULL;
    CHECK_STATUS(zsseg_segment(handle, &image, &output), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_segment_features(NULL, &features, 1, 1, &output), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_segment_features(handle, NULL, 1, 1, &output), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_segment_features(handle, &features, 1, 1, NULL), ZSSEG_E_NULL_POINTER);
    features.data = NULL;
    CHECK_STATUS(zsseg_segment_features(handle, &features, 1, 1, &output), ZSSEG_E_NULL_POINTER);
    features = features_of(values);
    output.labels = NULL;
    CHECK_STATUS(zsseg_segment_features(handle, &features, 1, 1, &output), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_features(NULL, &features), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_features(handle, NULL), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_last_error(NULL, text, sizeof text), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_last_error(handle, NULL, 8), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_arena_peak(NULL, &peak), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_arena_peak(handle, NULL), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_close(NULL), ZSSEG_E_NULL_POINTER);
    CHECK(planes_untouched(&planes));

    segmenter_close(&segmenter);
    bytes_free(&arena);
    bytes_free(&values);
    bytes_free(&pixels);
    planes_free(&planes);
}

/* Sizes that no version of a struct of `size` bytes has had: 0, the field alone, one too small,
 * one too large, far too large. */
#define WRONG_SIZES 5

static uint32_t wrong_size(int number, size_t size)
{
    switch (number) {
    case 0:
        return 0;
    case 1:
        return 4;
    case 2:
        return (uint32_t)size - 1;
    case 3:
        return (uint32_t)size + 1;
    default:
        return UINT32_MAX;
    }
}

static void check_sizes_without_handle(struct bytes tiny, struct bytes arena, int number)
{
    zsseg_limits_t limits = limits_for(FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_error_t error = {0, -1, "same"};
    zsseg_bundle_info_t info;
    zsseg_class_t class_info;
    zsseg_t *handle = NULL;
    size_t need = 77;

    memset(&info, PATTERN, sizeof info);
    info.struct_size = wrong_size(number, sizeof info);
    CHECK_STATUS(zsseg_bundle_info(tiny.data, tiny.len, &info, NULL), ZSSEG_E_STRUCT_SIZE);
    CHECK(bytes_are((const uint8_t *)&info + 4, sizeof info - 4, PATTERN));
    memset(&class_info, PATTERN, sizeof class_info);
    class_info.struct_size = wrong_size(number, sizeof class_info);
    CHECK_STATUS(zsseg_bundle_class(tiny.data, tiny.len, 0, &class_info, NULL),
                 ZSSEG_E_STRUCT_SIZE);
    CHECK(bytes_are((const uint8_t *)&class_info + 4, sizeof class_info - 4, PATTERN));
    limits.struct_size = wrong_size(number, sizeof limits);
    CHECK_STATUS(zsseg_arena_size(tiny.data, tiny.len, &limits, &need, NULL), ZSSEG_E_STRUCT_SIZE);
    CHECK_STATUS(zsseg_init(tiny.data, tiny.len, &limits, arena.data, arena.len, &handle, NULL),
                 ZSSEG_E_STRUCT_SIZE);
    CHECK(need == 77 && handle == NULL);

    /* An error struct of unknown size is left alone; the call does its work all the same. */
    error.struct_size = wrong_size(number, sizeof error);
    CHECK_STATUS(zsseg_bundle_verify(tiny.data, tiny.len, &error), ZSSEG_OK);
    CHECK_STATUS(zsseg_bundle_verify(tiny.data, 1, &error), ZSSEG_E_BUNDLE_FORMAT);
    CHECK(error.status == -1 && strcmp(error.text, "same") == 0);
}

void test_struct_size(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open(fixture->tiny, FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_t *handle = segmenter.handle;
    struct bytes arena = bytes_aligned(1 << 16);
    struct bytes values = features_new(1);
    struct bytes pixels = bytes_new(FRAME_PIXELS * 3);
    struct planes planes = planes_new(FRAME_WIDTH, FRAME_HEIGHT);
    int number;

    bytes_fill(pixels, 0);
    for (number = 0; number < WRONG_SIZES; number++) {
        zsseg_features_t features = features_of(values);
        zsseg_image_t image = image_rgb8(pixels.data, FRAME_WIDTH, FRAME_HEIGHT);
        zsseg_output_t output = output_of(&planes, FRAME_WIDTH);
        check_sizes_without_handle(fixture->tiny, arena, number);

        image.struct_size = wrong_size(number, sizeof image);
        CHECK_STATUS(zsseg_segment(handle, &image, &output), ZSSEG_E_STRUCT_SIZE);
        image.struct_size = sizeof image;
        output.struct_size = wrong_size(number, sizeof output);
        CHECK_STATUS(zsseg_segment(handle, &image, &output), ZSSEG_E_STRUCT_SIZE);
        CHECK_STATUS(zsseg_segment_features(handle, &features, 1, 1, &output),
                     ZSSEG_E_STRUCT_SIZE);
        output.struct_size = sizeof output;
        features.struct_size = wrong_size(number, sizeof features);
        CHECK_STATUS(zsseg_segment_features(handle, &features, 1, 1, &output),
                     ZSSEG_E_STRUCT_SIZE);
        CHECK_STATUS(zsseg_features(handle, &features), ZSSEG_E_STRUCT_SIZE);
    }
    CHECK(planes_untouched(&planes));

    segmenter_close(&segmenter);
    bytes_free(&arena);
    bytes_free(&values);
    bytes_free(&pixels);
    planes_free(&planes);
}

void test_limits(const struct fixture *fixture)
{
    static const struct {
        uint32_t width, height, threads;
        zsseg_status_t wanted;
    } CASES[] = {
        {1, 1, 1, ZSSEG_OK},
        {16384, 16384, 64, ZSSEG_OK},
        {0, 1, 1, ZSSEG_E_INVALID_ARGUMENT},
        {1, 0, 1, ZSSEG_E_INVALID_ARGUMENT},
        {1, 1, 0, ZSSEG_E_INVALID_ARGUMENT},
        {16385, 1, 1, ZSSEG_E_LIMIT_EXCEEDED},
        {1, UINT32_MAX, 1, ZSSEG_E_LIMIT_EXCEEDED},
        {1, 1, 65, ZSSEG_E_LIMIT_EXCEEDED},
    };
    struct bytes tiny = fixture->tiny;
    struct bytes arena = bytes_aligned(1 << 16);
    size_t i;

    for (i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        zsseg_limits_t limits = limits_for(CASES[i].width, CASES[i].height);
        zsseg_t *handle = NULL;
        size_t need = 0;
        limits.threads = CASES[i].threads;
        CHECK_STATUS(zsseg_arena_size(tiny.data, tiny.len, &limits, &need, NULL), CASES[i].wanted);
        CHECK((need > 0) == (CASES[i].wanted == ZSSEG_OK));
        if (CASES[i].wanted != ZSSEG_OK) {
            CHECK_STATUS(
                zsseg_init(tiny.data, tiny.len, &limits, arena.data, arena.len, &handle, NULL),
                CASES[i].wanted);
            CHECK(handle == NULL);
        }
    }
    bytes_free(&arena);
}
