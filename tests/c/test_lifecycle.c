/* From the bundle to the mask and back, handles after their end, and the texts of errors. */
#include <stdlib.h>

#include "check.h"
#include "tests.h"

static void check_constants(void)
{
    zsseg_status_t status;
    CHECK(zsseg_abi_version() == ZSSEG_ABI_VERSION);
    CHECK(strlen(zsseg_version()) > 0);
    CHECK((zsseg_capabilities() &
           ~(uint32_t)(ZSSEG_CAPABILITY_TRACT | ZSSEG_CAPABILITY_ENGINE_HEAP)) ==
          (ZSSEG_CAPABILITY_FLOAT_LAYERS | ZSSEG_CAPABILITY_FUSION));
    for (status = ZSSEG_OK; status <= ZSSEG_E_DEADLINE_EXCEEDED; status++) {
        CHECK(strcmp(zsseg_status_str(status), "unknown status") != 0);
    }
    CHECK(strcmp(zsseg_status_str(-1), "unknown status") == 0);
    CHECK(strcmp(zsseg_status_str(ZSSEG_E_DEADLINE_EXCEEDED + 1), "unknown status") == 0);
    CHECK(strcmp(zsseg_status_str(INT32_MAX), "unknown status") == 0);
    CHECK(strcmp(zsseg_status_str(INT32_MIN), "unknown status") == 0);
}

void test_lifecycle(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open(fixture->tiny, FRAME_WIDTH, FRAME_HEIGHT);
    struct bytes values = features_new(1);
    zsseg_features_t features = features_of(values);
    struct planes first = planes_new(FRAME_WIDTH, FRAME_HEIGHT);
    struct planes second = planes_new(FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_output_t output = output_of(&first, FRAME_WIDTH);
    zsseg_output_t again = output_of(&second, FRAME_WIDTH);
    unsigned seen[CLASSES] = {0, 0, 0};
    size_t i, peak = 0;

    check_constants();
    CHECK_STATUS(zsseg_segment_features(segmenter.handle, &features, FRAME_WIDTH, FRAME_HEIGHT,
                                        &output),
                 ZSSEG_OK);
    for (i = 0; i < FRAME_PIXELS; i++) {
        CHECK(first.labels.data[i] < CLASSES);
        seen[first.labels.data[i] % CLASSES] += 1;
        /* The winner of three has at least a third, and leads by less than all of it. */
        CHECK(first.confidence.data[i] >= 84);
        CHECK(first.margin.data[i] <= first.confidence.data[i]);
    }
    CHECK(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
    CHECK_STATUS(zsseg_segment_features(segmenter.handle, &features, FRAME_WIDTH, FRAME_HEIGHT,
                                        &again),
                 ZSSEG_OK);
    CHECK(planes_equal(&first, &second));
    CHECK_STATUS(zsseg_arena_peak(segmenter.handle, &peak), ZSSEG_OK);
    CHECK(peak == segmenter.arena.len);

    segmenter_close(&segmenter);
    planes_free(&first);
    planes_free(&second);
    bytes_free(&values);
}

void test_closed(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open(fixture->tiny, FRAME_WIDTH, FRAME_HEIGHT);
    struct bytes values = features_new(1);
    struct bytes pixels = bytes_new(FRAME_PIXELS * 3);
    zsseg_features_t features = features_of(values), found = features_of(values);
    struct planes planes = planes_new(FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_output_t output = output_of(&planes, FRAME_WIDTH);
    zsseg_image_t image = image_rgb8(pixels.data, FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_t *handle = segmenter.handle;
    char text[8] = "same";
    size_t peak = 77;
    uint32_t label = 77;

    bytes_fill(pixels, 0);
    CHECK_STATUS(zsseg_close(handle), ZSSEG_OK);
    CHECK_STATUS(zsseg_close(handle), ZSSEG_E_INVALID_STATE);
    CHECK_STATUS(zsseg_close(handle), ZSSEG_E_INVALID_STATE);
    CHECK_STATUS(zsseg_segment(handle, &image, &output), ZSSEG_E_INVALID_STATE);
    CHECK_STATUS(
        zsseg_segment_features(handle, &features, FRAME_WIDTH, FRAME_HEIGHT, &output),
        ZSSEG_E_INVALID_STATE);
    CHECK_STATUS(zsseg_features(handle, &found), ZSSEG_E_INVALID_STATE);
    CHECK_STATUS(zsseg_last_error(handle, text, sizeof text), ZSSEG_E_INVALID_STATE);
    CHECK_STATUS(zsseg_arena_peak(handle, &peak), ZSSEG_E_INVALID_STATE);
    CHECK_STATUS(zsseg_class_find(handle, "cat", &label), ZSSEG_E_INVALID_STATE);
    CHECK_STATUS(zsseg_class_remove(handle, 1), ZSSEG_E_INVALID_STATE);
    CHECK_STATUS(zsseg_step(handle, 1, &label), ZSSEG_E_INVALID_STATE);
    CHECK_STATUS(zsseg_cancel(handle), ZSSEG_E_INVALID_STATE);
    CHECK(strcmp(text, "same") == 0 && peak == 77 && label == 77);
    CHECK(memcmp(&found, &features, sizeof found) == 0);
    CHECK(planes_untouched(&planes));

    /* An arena that never held a segmenter is no handle either. */
    bytes_fill(segmenter.arena, 0);
    CHECK_STATUS(zsseg_segment(handle, &image, &output), ZSSEG_E_INVALID_STATE);
    CHECK_STATUS(zsseg_cancel(handle), ZSSEG_E_INVALID_STATE);
    CHECK_STATUS(zsseg_close(handle), ZSSEG_E_INVALID_STATE);

    bytes_free(&segmenter.arena);
    bytes_free(&values);
    bytes_free(&pixels);
    planes_free(&planes);
}

/* Asks for the text with a buffer of every size up to the whole text's and beyond. */
static void check_texts(zsseg_t *handle, const char *whole)
{
    size_t len = strlen(whole), size;
    for (size = 1; size <= len + 3; size++) {
        struct bytes text = bytes_new(size);
        size_t wanted = size - 1 < len ? size - 1 : len;
        bytes_fill(text, PATTERN);
        CHECK_STATUS(zsseg_last_error(handle, (char *)text.data, size), ZSSEG_OK);
        CHECK(memchr(text.data, 0, size) == text.data + wanted);
        CHECK(memcmp(text.data, whole, wanted) == 0);
        bytes_free(&text);
    }
}

void test_error_text(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open(fixture->tiny, FRAME_WIDTH, FRAME_HEIGHT);
    struct bytes values = features_new(1);
    zsseg_features_t features = features_of(values);
    struct planes planes = planes_new(FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_output_t output = output_of(&planes, FRAME_WIDTH);
    zsseg_t *handle = segmenter.handle;
    char text[504];

    CHECK_STATUS(zsseg_last_error(handle, text, sizeof text), ZSSEG_OK);
    CHECK(text[0] == '\0');
    CHECK_STATUS(zsseg_segment_features(handle, &features, 0, FRAME_HEIGHT, &output),
                 ZSSEG_E_FRAME_SIZE);
    CHECK_STATUS(zsseg_last_error(handle, text, sizeof text), ZSSEG_OK);
    CHECK(strstr(text, zsseg_status_str(ZSSEG_E_FRAME_SIZE)) == text);
    check_texts(handle, text);
    CHECK_STATUS(zsseg_last_error(handle, text, 0), ZSSEG_E_INVALID_ARGUMENT);
    CHECK(strlen(text) > 0);

    CHECK_STATUS(zsseg_segment_features(handle, &features, FRAME_WIDTH, FRAME_HEIGHT, &output),
                 ZSSEG_OK);
    CHECK_STATUS(zsseg_last_error(handle, text, sizeof text), ZSSEG_OK);
    CHECK(text[0] == '\0');

    segmenter_close(&segmenter);
    bytes_free(&values);
    planes_free(&planes);
}
