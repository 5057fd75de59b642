/* The object that a vision transformer looks at. */
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "tests.h"

#define SIDE 4u
#define PATCHES (SIDE * SIDE)
#define HEADS 2u
#define NUMBERS 4u /* two for each head */

static const float QUERY[NUMBERS] = {1.0f, 0.0f, 1.0f, 0.0f};
static const float CLASS_KEY[NUMBERS] = {0.0f, 0.0f, 0.0f, 0.0f};

static zsseg_object_settings_t settings_of(void)
{
    zsseg_object_settings_t settings;
    memset(&settings, 0, sizeof settings);
    settings.struct_size = sizeof settings;
    settings.grid_height = SIDE;
    settings.grid_width = SIDE;
    settings.channels = NUMBERS;
    settings.heads = HEADS;
    settings.scoring_heads = HEADS;
    settings.mass = 0.5f;
    settings.candidates = 0.4f;
    settings.scoring = ZSSEG_SCORING_SOFTMAX;
    return settings;
}

/* Keys of a picture whose patches 5, 6 and 9 and, apart from them, 15 show something. */
static struct bytes keys_new(void)
{
    static const uint8_t SHOWN[PATCHES] = {0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1};
    struct bytes keys = bytes_new(PATCHES * NUMBERS * sizeof(float));
    size_t i;
    for (i = 0; i < PATCHES * NUMBERS; i++) {
        size_t patch = i / NUMBERS;
        float first = SHOWN[patch] ? 2.0f : -2.0f;
        float value = i % 2 == 0 ? first : 0.25f;
        value += patch == 6 && i % 2 == 0 ? 1.0f : 0.0f; /* the most conspicuous one */
        memcpy(keys.data + i * sizeof value, &value, sizeof value);
    }
    return keys;
}

static zsseg_features_t key_features(struct bytes keys)
{
    zsseg_features_t features = features_of(keys);
    features.grid_height = SIDE;
    features.grid_width = SIDE;
    features.channels = NUMBERS;
    return features;
}

void test_object(const struct fixture *fixture)
{
    static const uint8_t WANTED[PATCHES] = {0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    zsseg_object_settings_t settings = settings_of();
    zsseg_object_t found;
    struct bytes keys = keys_new(), mask = bytes_new(PATCHES), arena;
    zsseg_features_t features = key_features(keys);
    size_t need = 0;

    (void)fixture;
    memset(&found, 0, sizeof found);
    found.struct_size = sizeof found;
    CHECK_STATUS(zsseg_object_arena_size(&settings, &need, NULL), ZSSEG_OK);
    CHECK(need > 0 && need % ZSSEG_ARENA_ALIGN == 0);
    arena = bytes_aligned(need);
    bytes_fill(arena, PATTERN);
    bytes_fill(mask, PATTERN);
    CHECK_STATUS(zsseg_object_mask(&settings, arena.data, need, QUERY, CLASS_KEY, &features,
                                   mask.data, mask.len, &found, NULL),
                 ZSSEG_OK);
    CHECK(found.source == 6 && found.area == 3 && found.fallback == 0);
    CHECK(memcmp(mask.data, WANTED, sizeof WANTED) == 0);
    settings.scoring = ZSSEG_SCORING_RAW;
    CHECK_STATUS(zsseg_object_mask(&settings, arena.data, need, QUERY, CLASS_KEY, &features,
                                   mask.data, mask.len, &found, NULL),
                 ZSSEG_OK);
    CHECK(found.source == 6);
    bytes_free(&keys);
    bytes_free(&mask);
    bytes_free(&arena);
}

/* Everything that zsseg_object_mask() is given. */
struct call {
    zsseg_object_settings_t settings;
    struct bytes arena, keys, mask;
    size_t arena_bytes, mask_bytes;
    uint8_t *arena_start;
    const float *query, *class_key;
    zsseg_features_t features;
};

static void check_refused(const struct call *call, zsseg_status_t wanted)
{
    zsseg_error_t error = {sizeof error, 0, ""};
    zsseg_object_t found;
    struct bytes keys = bytes_copy(call->keys, call->keys.len);
    memset(&found, 0, sizeof found);
    found.struct_size = sizeof found;
    CHECK_STATUS(zsseg_object_mask(&call->settings, call->arena_start, call->arena_bytes,
                                   call->query, call->class_key, &call->features, call->mask.data,
                                   call->mask_bytes, &found, &error),
                 wanted);
    CHECK(error.status == wanted && strlen(error.text) > 0);
    CHECK(bytes_are(call->mask.data, call->mask.len, PATTERN));
    CHECK(found.source == 0 && found.area == 0);
    CHECK(memcmp(keys.data, call->keys.data, keys.len) == 0);
    bytes_free(&keys);
}

static void check_settings(const struct call *good)
{
    struct call bad;
    size_t need = 77;
#define WRONG(field, value, wanted)                                                              \
    bad = *good;                                                                                 \
    bad.settings.field = (value);                                                                \
    CHECK_STATUS(zsseg_object_arena_size(&bad.settings, &need, NULL), (wanted));                 \
    check_refused(&bad, (wanted))
    WRONG(struct_size, 32, ZSSEG_E_STRUCT_SIZE);
    WRONG(grid_height, 0, ZSSEG_E_INVALID_ARGUMENT);
    WRONG(grid_width, 5000, ZSSEG_E_LIMIT_EXCEEDED);
    WRONG(grid_width, UINT32_MAX, ZSSEG_E_LIMIT_EXCEEDED);
    WRONG(channels, 0, ZSSEG_E_INVALID_ARGUMENT);
    WRONG(heads, 0, ZSSEG_E_INVALID_ARGUMENT);
    WRONG(heads, 3, ZSSEG_E_INVALID_ARGUMENT);
    WRONG(scoring_heads, 0, ZSSEG_E_INVALID_ARGUMENT);
    WRONG(scoring_heads, 3, ZSSEG_E_LIMIT_EXCEEDED);
    WRONG(mass, 1.5f, ZSSEG_E_INVALID_ARGUMENT);
    WRONG(mass, NAN, ZSSEG_E_INVALID_ARGUMENT);
    WRONG(candidates, -0.5f, ZSSEG_E_INVALID_ARGUMENT);
    WRONG(scoring, 2, ZSSEG_E_INVALID_ARGUMENT);
#undef WRONG
    CHECK(need == 77);
}

void test_object_arguments(const struct fixture *fixture)
{
    static const float BAD[NUMBERS] = {1.0f, NAN, 1.0f, 0.0f};
    struct call good, bad;
    float infinite = INFINITY;

    (void)fixture;
    good.settings = settings_of();
    good.keys = keys_new();
    good.features = key_features(good.keys);
    good.mask = bytes_new(PATCHES);
    good.mask_bytes = PATCHES;
    bytes_fill(good.mask, PATTERN);
    CHECK_STATUS(zsseg_object_arena_size(&good.settings, &good.arena_bytes, NULL), ZSSEG_OK);
    good.arena = bytes_aligned(good.arena_bytes + 64);
    good.arena_start = good.arena.data;
    good.query = QUERY;
    good.class_key = CLASS_KEY;
    check_settings(&good);
#define WRONG(field, value, wanted)                                                              \
    bad = good;                                                                                  \
    bad.field = (value);                                                                         \
    check_refused(&bad, (wanted))
    WRONG(arena_start, NULL, ZSSEG_E_NULL_POINTER);
    WRONG(arena_start, good.arena.data + 4, ZSSEG_E_ARENA_ALIGNMENT);
    WRONG(arena_bytes, good.arena_bytes - 1, ZSSEG_E_ARENA_TOO_SMALL);
    WRONG(mask_bytes, PATCHES - 1, ZSSEG_E_BUFFER_TOO_SMALL);
    WRONG(mask_bytes, 0, ZSSEG_E_BUFFER_TOO_SMALL);
    WRONG(query, NULL, ZSSEG_E_NULL_POINTER);
    WRONG(class_key, NULL, ZSSEG_E_NULL_POINTER);
    WRONG(query, BAD, ZSSEG_E_INVALID_ARGUMENT);
    WRONG(class_key, BAD, ZSSEG_E_INVALID_ARGUMENT);
    WRONG(query, (const float *)(const void *)good.mask.data, ZSSEG_E_OVERLAP);
    WRONG(class_key, (const float *)(const void *)good.arena.data, ZSSEG_E_OVERLAP);
    WRONG(features.data, (const float *)(const void *)good.arena.data, ZSSEG_E_OVERLAP);
    WRONG(features.data, NULL, ZSSEG_E_NULL_POINTER);
    WRONG(features.grid_height, SIDE + 1, ZSSEG_E_INVALID_ARGUMENT);
    WRONG(features.struct_size, 8, ZSSEG_E_STRUCT_SIZE);
    bad = good;
    bad.features.grid_height = 2 * SIDE;
    bad.features.grid_width = SIDE / 2;
    check_refused(&bad, ZSSEG_E_MODEL_SHAPE);
    memcpy(good.keys.data, &infinite, sizeof infinite);
    check_refused(&good, ZSSEG_E_INVALID_ARGUMENT);
#undef WRONG
    bytes_free(&good.keys);
    bytes_free(&good.mask);
    bytes_free(&good.arena);
}
