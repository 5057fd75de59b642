/* Callers compiled against an older header hand in smaller structs. */
#include <stdlib.h>

#include "check.h"
#include "tests.h"

/* The first `len` bytes of a struct, which say so, in memory of that size. */
static struct bytes older(const void *value, size_t len)
{
    struct bytes bytes = bytes_new(len);
    uint32_t size = (uint32_t)len;
    memcpy(bytes.data, value, len);
    memcpy(bytes.data, &size, sizeof size);
    return bytes;
}

static void check_older_limits(struct bytes tiny)
{
    zsseg_limits_t limits = limits_for(FRAME_WIDTH, FRAME_HEIGHT);
    struct bytes old = older(&limits, offsetof(zsseg_limits_t, extra_classes));
    const zsseg_limits_t *old_limits = (const zsseg_limits_t *)(const void *)old.data;
    size_t need = 0, old_need = 0;
    CHECK(old.len == 16);
    CHECK_STATUS(zsseg_arena_size(tiny.data, tiny.len, &limits, &need, NULL), ZSSEG_OK);
    CHECK_STATUS(zsseg_arena_size(tiny.data, tiny.len, old_limits, &old_need, NULL), ZSSEG_OK);
    CHECK(need == old_need);
    bytes_free(&old);
}

static void check_older_output(struct bytes tiny)
{
    struct segmenter segmenter = segmenter_open(tiny, FRAME_WIDTH, FRAME_HEIGHT);
    struct bytes values = features_new(1);
    zsseg_features_t features = features_of(values);
    struct planes wanted = planes_segmented(segmenter.handle, 1);
    struct planes planes = planes_new(FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_output_t output = output_of(&planes, FRAME_WIDTH);
    struct bytes old = older(&output, offsetof(zsseg_output_t, unknown));
    CHECK_STATUS(zsseg_segment_features(segmenter.handle, &features, FRAME_WIDTH, FRAME_HEIGHT,
                                        (const zsseg_output_t *)(const void *)old.data),
                 ZSSEG_OK);
    CHECK(memcmp(planes.margin.data, wanted.margin.data, wanted.margin.len) == 0);
    CHECK(bytes_are(planes.unknown.data, planes.unknown.len, PATTERN));
    segmenter_close(&segmenter);
    bytes_free(&values);
    bytes_free(&old);
    planes_free(&wanted);
    planes_free(&planes);
}

static void check_older_answers(struct bytes tiny)
{
    zsseg_bundle_info_t info;
    zsseg_class_t found;
    struct bytes old_info, old_class;
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    CHECK_STATUS(zsseg_bundle_info(tiny.data, tiny.len, &info, NULL), ZSSEG_OK);
    old_info = older(&info, offsetof(zsseg_bundle_info_t, head));
    memset(old_info.data + 4, 0, old_info.len - 4);
    CHECK_STATUS(zsseg_bundle_info(tiny.data, tiny.len,
                                   (zsseg_bundle_info_t *)(void *)old_info.data, NULL),
                 ZSSEG_OK);
    CHECK(memcmp(old_info.data + 4, (const uint8_t *)&info + 4, old_info.len - 4) == 0);
    memset(&found, 0, sizeof found);
    found.struct_size = sizeof found;
    CHECK_STATUS(zsseg_bundle_class(tiny.data, tiny.len, 2, &found, NULL), ZSSEG_OK);
    CHECK(found.label == 2 && found.origin == ZSSEG_ORIGIN_BUNDLE && found.prior == 1.0f);
    old_class = older(&found, offsetof(zsseg_class_t, prior));
    memset(old_class.data + 4, 0, old_class.len - 4);
    CHECK_STATUS(zsseg_bundle_class(tiny.data, tiny.len, 2,
                                    (zsseg_class_t *)(void *)old_class.data, NULL),
                 ZSSEG_OK);
    CHECK(memcmp(old_class.data + 4, (const uint8_t *)&found + 4, old_class.len - 4) == 0);
    bytes_free(&old_info);
    bytes_free(&old_class);
}

void test_older_structs(const struct fixture *fixture)
{
    check_older_limits(fixture->tiny);
    check_older_output(fixture->tiny);
    check_older_answers(fixture->tiny);
}
