/* The arena: exact in size, checked for alignment, and nothing outside it is written. */
#include <stdlib.h>

#include "check.h"
#include "tests.h"

#define GUARD ZSSEG_ARENA_ALIGN

void test_arena_size(const struct fixture *fixture)
{
    struct bytes tiny = fixture->tiny;
    zsseg_limits_t limits = limits_for(FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_error_t error = {sizeof error, 0, ""};
    zsseg_t *handle = NULL;
    struct bytes arena;
    size_t need = 0, shift;

    CHECK_STATUS(zsseg_arena_size(tiny.data, tiny.len, &limits, &need, NULL), ZSSEG_OK);
    arena = bytes_aligned(need + GUARD);
    bytes_fill(arena, PATTERN);
    CHECK_STATUS(zsseg_init(tiny.data, tiny.len, &limits, arena.data, need - 1, &handle, &error),
                 ZSSEG_E_ARENA_TOO_SMALL);
    CHECK(error.status == ZSSEG_E_ARENA_TOO_SMALL);
    CHECK_STATUS(zsseg_init(tiny.data, tiny.len, &limits, arena.data, 0, &handle, NULL),
                 ZSSEG_E_ARENA_TOO_SMALL);
    for (shift = 1; shift < ZSSEG_ARENA_ALIGN; shift++) {
        CHECK_STATUS(
            zsseg_init(tiny.data, tiny.len, &limits, arena.data + shift, need, &handle, NULL),
            ZSSEG_E_ARENA_ALIGNMENT);
    }
    CHECK(handle == NULL);
    CHECK(bytes_are(arena.data, arena.len, PATTERN));

    CHECK_STATUS(zsseg_init(tiny.data, tiny.len, &limits, arena.data, need, &handle, NULL),
                 ZSSEG_OK);
    CHECK(handle != NULL);
    CHECK_STATUS(zsseg_close(handle), ZSSEG_OK);

    /* The same arena serves again; more than needed is fine, and the rest is left alone. */
    bytes_fill(arena, PATTERN);
    CHECK_STATUS(zsseg_init(tiny.data, tiny.len, &limits, arena.data, arena.len, &handle, NULL),
                 ZSSEG_OK);
    CHECK(bytes_are(arena.data + need, GUARD, PATTERN));
    CHECK_STATUS(zsseg_close(handle), ZSSEG_OK);
    CHECK(bytes_are(arena.data + need, GUARD, PATTERN));
    bytes_free(&arena);
}

/* A segmenter between two guards, for the tests that look at them after every call. */
struct guarded {
    struct bytes memory;
    zsseg_t *handle;
    size_t need;
};

static struct guarded guarded_open(struct bytes bundle, uint32_t width, uint32_t height)
{
    struct guarded guarded = {{NULL, 0}, NULL, 0};
    zsseg_limits_t limits = limits_for(width, height);
    CHECK_STATUS(zsseg_arena_size(bundle.data, bundle.len, &limits, &guarded.need, NULL),
                 ZSSEG_OK);
    guarded.memory = bytes_aligned(guarded.need + 2 * GUARD);
    bytes_fill(guarded.memory, PATTERN);
    CHECK_STATUS(zsseg_init(bundle.data, bundle.len, &limits, guarded.memory.data + GUARD,
                            guarded.need, &guarded.handle, NULL),
                 ZSSEG_OK);
    return guarded;
}

static int guards_whole(const struct guarded *guarded)
{
    return bytes_are(guarded->memory.data, GUARD, PATTERN) &&
           bytes_are(guarded->memory.data + GUARD + guarded->need, GUARD, PATTERN);
}

void test_arena_canaries(const struct fixture *fixture)
{
    struct bytes bundle = bytes_copy(fixture->tiny, fixture->tiny.len);
    struct guarded guarded = guarded_open(bundle, FRAME_WIDTH, FRAME_HEIGHT);
    uint32_t width, height;

    CHECK(guards_whole(&guarded));
    for (height = 1; height <= FRAME_HEIGHT; height++) {
        for (width = 1; width <= FRAME_WIDTH; width++) {
            struct bytes values = features_new(width + 31 * height);
            zsseg_features_t features = features_of(values);
            struct planes planes = planes_new(width, height);
            zsseg_output_t output = output_of(&planes, width);
            CHECK_STATUS(
                zsseg_segment_features(guarded.handle, &features, width, height, &output),
                ZSSEG_OK);
            CHECK(guards_whole(&guarded));
            planes_free(&planes);
            bytes_free(&values);
        }
    }
    CHECK_STATUS(zsseg_close(guarded.handle), ZSSEG_OK);
    CHECK(guards_whole(&guarded));
    /* The bundle was only read. */
    CHECK(memcmp(bundle.data, fixture->tiny.data, bundle.len) == 0);
    bytes_free(&guarded.memory);
    bytes_free(&bundle);
}

void test_network_canaries(const struct fixture *fixture)
{
    uint32_t width = fixture->picture_width, height = fixture->picture_height;
    struct guarded guarded = guarded_open(fixture->network, width, height);
    zsseg_image_t image = image_rgb8(fixture->picture.data, width, height);
    struct planes planes = planes_new(width, height);
    zsseg_output_t output = output_of(&planes, width);
    size_t peak = 0;

    CHECK(guards_whole(&guarded));
    CHECK_STATUS(zsseg_segment(guarded.handle, &image, &output), ZSSEG_OK);
    CHECK(guards_whole(&guarded));
    CHECK_STATUS(zsseg_arena_peak(guarded.handle, &peak), ZSSEG_OK);
    CHECK(peak == guarded.need);
    CHECK_STATUS(zsseg_close(guarded.handle), ZSSEG_OK);
    CHECK(guards_whole(&guarded));
    bytes_free(&guarded.memory);
    planes_free(&planes);
}
