/* Classes that come, change and go at run time. */
#define _POSIX_C_SOURCE 200112L

#include <pthread.h>
#include <stdlib.h>

#include "check.h"
#include "tests.h"

#define SEED 3
#define ADDED 3u /* the lowest free label */

static const float ROW[CHANNELS] = {0.75f, -0.25f, 1.0f, 0.5f};

static zsseg_status_t add_row(zsseg_t *handle, const char *name, const float *row, float bias,
                              uint32_t *label)
{
    zsseg_new_class_t added = class_named(name);
    return zsseg_class_add_row(handle, &added, row, CHANNELS, bias, label);
}

static zsseg_bundle_info_t info_of(struct bytes bundle)
{
    zsseg_bundle_info_t info;
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    CHECK_STATUS(zsseg_bundle_info(bundle.data, bundle.len, &info, NULL), ZSSEG_OK);
    return info;
}

void test_ways(const struct fixture *fixture)
{
    zsseg_bundle_info_t info = info_of(fixture->tiny);
    CHECK(info.head == ZSSEG_HEAD_LINEAR && info.ways == ZSSEG_WAY_ROW);
    CHECK(info.embedding_dim == 0 && info.word_count == 0);
    info = info_of(fixture->words);
    CHECK(info.head == ZSSEG_HEAD_LINEAR && info.embedding_dim == 3 && info.word_count == 6);
    CHECK(info.ways ==
          (ZSSEG_WAY_ROW | ZSSEG_WAY_EMBEDDING | ZSSEG_WAY_WORD | ZSSEG_WAY_GENERATOR));
    info = info_of(fixture->cosine);
    CHECK(info.head == ZSSEG_HEAD_COSINE && info.embedding_dim == CHANNELS);
    CHECK(info.ways == (ZSSEG_WAY_ROW | ZSSEG_WAY_EMBEDDING | ZSSEG_WAY_WORD));
}

/* What is promised about a class is what the arena grows by. */
void test_class_cost(const struct fixture *fixture)
{
    struct bytes words = fixture->words;
    zsseg_limits_t limits = limits_for(FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_class_cost_t cost;
    size_t few = 0, many = 0;
    memset(&cost, 0, sizeof cost);
    cost.struct_size = sizeof cost;
    limits.uses = ZSSEG_USE_SMOOTHING | ZSSEG_USE_FUSION;
    CHECK_STATUS(zsseg_class_cost(words.data, words.len, &limits, &cost, NULL), ZSSEG_OK);
    CHECK(cost.grid_multiply_adds == FEATURE_COUNT);
    CHECK(cost.meaning_multiply_adds == (CHANNELS + 1) * 3);
    CHECK(cost.generator_multiply_adds > 1000);
    limits.extra_classes = 16;
    CHECK_STATUS(zsseg_arena_size(words.data, words.len, &limits, &few, NULL), ZSSEG_OK);
    limits.extra_classes = 16 + 640;
    CHECK_STATUS(zsseg_arena_size(words.data, words.len, &limits, &many, NULL), ZSSEG_OK);
    CHECK(many - few <= 640 * cost.bytes + 1024 && many - few + 1024 >= 640 * cost.bytes);
    limits.extra_classes = 4096 - CLASSES;
    CHECK_STATUS(zsseg_arena_size(words.data, words.len, &limits, &many, NULL), ZSSEG_OK);
    limits.extra_classes = 4096 - CLASSES + 1;
    CHECK_STATUS(zsseg_arena_size(words.data, words.len, &limits, &many, NULL),
                 ZSSEG_E_LIMIT_EXCEEDED);
    CHECK_STATUS(zsseg_class_cost(words.data, words.len, &limits, &cost, NULL),
                 ZSSEG_E_LIMIT_EXCEEDED);
}

static void check_described(zsseg_t *handle)
{
    zsseg_new_class_t added = class_named("Nachtigall \xc3\xa4");
    uint32_t label = 77, number = 77;
    zsseg_class_t found;
    added.flags = ZSSEG_NEW_CLASS_SEEN | ZSSEG_NEW_CLASS_LABEL | ZSSEG_NEW_CLASS_COLOR;
    added.label = 4;
    added.color[0] = 1;
    added.color[1] = 2;
    added.color[2] = 3;
    added.bias = -0.5f;
    CHECK_STATUS(zsseg_class_add_row(handle, &added, ROW, CHANNELS, 0.25f, &label), ZSSEG_OK);
    CHECK(label == 4);
    found = class_at(handle, 4);
    CHECK(found.struct_size == sizeof found && strcmp(found.name, added.name) == 0);
    CHECK(found.flags == (ZSSEG_CLASS_SEEN | ZSSEG_CLASS_ENABLED) && found.label == 4);
    CHECK(found.color[0] == 1 && found.color[1] == 2 && found.color[2] == 3);
    CHECK(found.bias == -0.5f && found.prior == 1.0f && found.origin == ZSSEG_ORIGIN_ROW);
    CHECK_STATUS(zsseg_label_capacity(handle, &number), ZSSEG_OK);
    CHECK(number == CLASSES + 2);
    CHECK_STATUS(zsseg_class_vacancies(handle, &number), ZSSEG_OK);
    CHECK(number == 1);
    CHECK(label_of(handle, added.name) == 4 && label_of(handle, "nobody") == UINT32_MAX);
    found = class_at(handle, 0);
    CHECK(strcmp(found.name, "void") == 0 && found.origin == ZSSEG_ORIGIN_BUNDLE);
    CHECK(found.flags == (ZSSEG_CLASS_SEEN | ZSSEG_CLASS_BACKGROUND | ZSSEG_CLASS_ENABLED));
    CHECK_STATUS(zsseg_class_remove(handle, 4), ZSSEG_OK);
}

void test_class_added(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open_all(fixture->tiny);
    zsseg_t *handle = segmenter.handle;
    struct planes before = planes_segmented(handle, SEED), with;
    const float none[CHANNELS] = {0.0f, 0.0f, 0.0f, 0.0f};
    uint32_t label = 77;
    size_t peak = 0;

    check_described(handle);
    CHECK(mask_is_still(handle, SEED, &before));
    CHECK_STATUS(add_row(handle, "bird", ROW, 0.0f, &label), ZSSEG_OK);
    CHECK(label == ADDED);
    with = planes_segmented(handle, SEED);
    CHECK(planes_count(&with, ADDED) > 0 && planes_count(&with, ADDED) < FRAME_PIXELS);
    CHECK(planes_count(&before, ADDED) == 0);

    /* Removed and added again, it is the same. */
    CHECK_STATUS(zsseg_class_remove(handle, ADDED), ZSSEG_OK);
    CHECK(mask_is_still(handle, SEED, &before));
    CHECK_STATUS(add_row(handle, "bird", ROW, 0.0f, &label), ZSSEG_OK);
    CHECK(mask_is_still(handle, SEED, &with));
    CHECK_STATUS(zsseg_class_remove(handle, ADDED), ZSSEG_OK);
    CHECK_STATUS(zsseg_class_remove(handle, ADDED), ZSSEG_E_INVALID_ARGUMENT);

    /* One that nothing can look like changes nothing. */
    CHECK_STATUS(add_row(handle, "unicorn", none, -1e30f, &label), ZSSEG_OK);
    CHECK(mask_is_still(handle, SEED, &before));
    CHECK_STATUS(zsseg_arena_peak(handle, &peak), ZSSEG_OK);
    CHECK(peak == segmenter.arena.len);
    planes_free(&before);
    planes_free(&with);
    segmenter_close(&segmenter);
}

void test_class_changed(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open_all(fixture->tiny);
    zsseg_t *handle = segmenter.handle;
    struct planes before = planes_segmented(handle, SEED), other;
    const float zebra[CHANNELS] = {0.0f, 0.0f, 1.0f, 0.5f};
    uint32_t number = 77;

    CHECK_STATUS(zsseg_class_enable(handle, 1, 0), ZSSEG_OK);
    CHECK((class_at(handle, 1).flags & ZSSEG_CLASS_ENABLED) == 0);
    other = planes_segmented(handle, SEED);
    CHECK(planes_count(&other, 1) == 0 && planes_count(&before, 1) > 0);
    planes_free(&other);
    CHECK_STATUS(zsseg_class_enable(handle, 1, 1), ZSSEG_OK);
    CHECK(mask_is_still(handle, SEED, &before));
    CHECK_STATUS(zsseg_class_enable(handle, 1, 2), ZSSEG_E_INVALID_ARGUMENT);

    CHECK_STATUS(zsseg_class_set_bias(handle, 0, 100.0f), ZSSEG_OK);
    other = planes_segmented(handle, SEED);
    CHECK(planes_count(&other, 0) == FRAME_PIXELS);
    planes_free(&other);
    CHECK_STATUS(zsseg_class_set_bias(handle, 0, 0.25f), ZSSEG_OK); /* the bundle's */
    CHECK_STATUS(zsseg_class_set_prior(handle, 2, 1e-20f), ZSSEG_OK);
    CHECK(class_at(handle, 2).prior == 1e-20f);
    other = planes_segmented(handle, SEED);
    CHECK(planes_count(&other, 2) == 0 && planes_count(&before, 2) > 0);
    planes_free(&other);
    CHECK_STATUS(zsseg_class_set_prior(handle, 2, 1.0f), ZSSEG_OK);
    CHECK(mask_is_still(handle, SEED, &before));

    CHECK_STATUS(zsseg_class_rename(handle, 1, "Katze"), ZSSEG_OK);
    CHECK(label_of(handle, "Katze") == 1 && label_of(handle, "cat") == UINT32_MAX);
    CHECK_STATUS(zsseg_class_rename(handle, 1, "zebra"), ZSSEG_E_CLASS_EXISTS);
    CHECK_STATUS(zsseg_class_rename(handle, 1, "Katze"), ZSSEG_OK);

    /* The same row as the bundle's changes nothing, but it takes a place. */
    CHECK_STATUS(zsseg_class_replace_row(handle, 2, zebra, CHANNELS, 0.2f), ZSSEG_OK);
    CHECK(mask_is_still(handle, SEED, &before));
    CHECK(class_at(handle, 2).origin == ZSSEG_ORIGIN_ROW);
    CHECK_STATUS(zsseg_class_vacancies(handle, &number), ZSSEG_OK);
    CHECK(number == 1);
    CHECK_STATUS(zsseg_class_replace_row(handle, 2, ROW, CHANNELS, 0.2f), ZSSEG_OK);
    CHECK(!mask_is_still(handle, SEED, &before));
    CHECK_STATUS(zsseg_class_vacancies(handle, &number), ZSSEG_OK);
    CHECK(number == 1);
    CHECK_STATUS(zsseg_class_replace_row(handle, 3, ROW, CHANNELS, 0.2f),
                 ZSSEG_E_INVALID_ARGUMENT);
    planes_free(&before);
    segmenter_close(&segmenter);
}

/* A row that is fitted to generated features: every time the same. */
void test_class_generator(const struct fixture *fixture)
{
    zsseg_limits_t limits = limits_for(FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_new_class_t dog = class_named("dog"), twin = class_named("twin");
    const float embedding[3] = {1.0f, -0.5f, 2.0f}; /* that of the word */
    struct segmenter segmenter;
    struct planes before, fitted;
    uint32_t label = 77;
    size_t need = 77;

    limits.extra_classes = 1;
    limits.uses = ZSSEG_USE_GENERATOR;
    CHECK_STATUS(zsseg_arena_size(fixture->tiny.data, fixture->tiny.len, &limits, &need, NULL),
                 ZSSEG_E_UNSUPPORTED);
    CHECK(need == 77);
    segmenter = segmenter_open_with(fixture->words, &limits);
    before = planes_segmented(segmenter.handle, SEED);
    CHECK_STATUS(zsseg_class_add_word(segmenter.handle, &dog, NULL, ZSSEG_METHOD_GENERATOR,
                                      &label),
                 ZSSEG_OK);
    CHECK(class_at(segmenter.handle, label).origin == ZSSEG_ORIGIN_GENERATOR);
    fitted = planes_segmented(segmenter.handle, SEED);
    CHECK(!planes_equal(&fitted, &before));
    CHECK_STATUS(zsseg_class_remove(segmenter.handle, label), ZSSEG_OK);
    CHECK(mask_is_still(segmenter.handle, SEED, &before));
    CHECK_STATUS(zsseg_class_add_embedding(segmenter.handle, &twin, embedding, 3,
                                           ZSSEG_METHOD_GENERATOR, &label),
                 ZSSEG_OK);
    CHECK(mask_is_still(segmenter.handle, SEED, &fitted));
    CHECK_STATUS(zsseg_class_replace_word(segmenter.handle, label, "grey", ZSSEG_METHOD_DIRECT),
                 ZSSEG_OK);
    CHECK(!mask_is_still(segmenter.handle, SEED, &fitted));
    CHECK_STATUS(
        zsseg_class_replace_word(segmenter.handle, label, "dog", ZSSEG_METHOD_GENERATOR),
        ZSSEG_OK);
    CHECK(mask_is_still(segmenter.handle, SEED, &fitted));
    planes_free(&before);
    planes_free(&fitted);
    segmenter_close(&segmenter);
}

void test_class_table_full(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open_all(fixture->words);
    zsseg_t *handle = segmenter.handle;
    zsseg_new_class_t dog = class_named("dog"), wolf = class_named("wolf");
    struct planes full;
    uint32_t label = 77, number = 77;

    CHECK_STATUS(add_row(handle, "bird", ROW, 0.0f, &label), ZSSEG_OK);
    CHECK_STATUS(zsseg_class_add_word(handle, &dog, NULL, ZSSEG_METHOD_DIRECT, &label), ZSSEG_OK);
    full = planes_segmented(handle, SEED);
    CHECK_STATUS(zsseg_class_vacancies(handle, &number), ZSSEG_OK);
    CHECK(number == 0);
    label = 77;
    CHECK_STATUS(zsseg_class_add_word(handle, &wolf, NULL, ZSSEG_METHOD_DIRECT, &label),
                 ZSSEG_E_CLASS_TABLE_FULL);
    CHECK_STATUS(add_row(handle, "wolf", ROW, 0.0f, &label), ZSSEG_E_CLASS_TABLE_FULL);
    CHECK_STATUS(zsseg_class_replace_row(handle, 0, ROW, CHANNELS, 0.0f),
                 ZSSEG_E_CLASS_TABLE_FULL);
    CHECK(label == 77 && label_of(handle, "wolf") == UINT32_MAX);
    CHECK(mask_is_still(handle, SEED, &full));
    /* A place is free again as soon as a class is gone. */
    CHECK_STATUS(zsseg_class_remove(handle, ADDED), ZSSEG_OK);
    CHECK_STATUS(zsseg_class_add_word(handle, &wolf, NULL, ZSSEG_METHOD_DIRECT, &label), ZSSEG_OK);
    CHECK(label == ADDED && class_at(handle, label).origin == ZSSEG_ORIGIN_WORD);
    planes_free(&full);
    segmenter_close(&segmenter);
}

/* One thread's handle, with a class of its own. Checks count in main's numbers only. */
struct worker {
    zsseg_t *handle;
    const char *word;
    struct planes wanted;
    int good;
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct bytes values = features_new(SEED);
    zsseg_features_t features = features_of(values);
    struct planes planes = planes_new(FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_output_t output = output_of(&planes, FRAME_WIDTH);
    zsseg_new_class_t added = class_named(worker->word);
    int turn;
    for (turn = 0; turn < 100; turn++) {
        uint32_t label = 77;
        worker->good &= zsseg_class_add_word(worker->handle, &added, NULL, ZSSEG_METHOD_DIRECT,
                                             &label) == ZSSEG_OK;
        worker->good &= zsseg_segment_features(worker->handle, &features, FRAME_WIDTH,
                                               FRAME_HEIGHT, &output) == ZSSEG_OK;
        worker->good &= planes_equal(&planes, &worker->wanted);
        worker->good &= zsseg_class_remove(worker->handle, label) == ZSSEG_OK;
    }
    planes_free(&planes);
    bytes_free(&values);
    return NULL;
}

void test_class_threads(const struct fixture *fixture)
{
    static const char *const WORDS[2] = {"dog", "grey"};
    struct segmenter segmenters[2];
    struct worker workers[2];
    pthread_t threads[2];
    int number;
    for (number = 0; number < 2; number++) {
        zsseg_new_class_t added = class_named(WORDS[number]);
        uint32_t label = 77;
        segmenters[number] = segmenter_open_all(fixture->words);
        workers[number].handle = segmenters[number].handle;
        workers[number].word = WORDS[number];
        workers[number].good = 1;
        CHECK_STATUS(zsseg_class_add_word(workers[number].handle, &added, NULL,
                                          ZSSEG_METHOD_DIRECT, &label),
                     ZSSEG_OK);
        workers[number].wanted = planes_segmented(workers[number].handle, SEED);
        CHECK_STATUS(zsseg_class_remove(workers[number].handle, label), ZSSEG_OK);
    }
    CHECK(!planes_equal(&workers[0].wanted, &workers[1].wanted));
    for (number = 0; number < 2; number++) {
        if (pthread_create(&threads[number], NULL, work, &workers[number]) != 0) {
            fprintf(stderr, "no thread\n");
            exit(2);
        }
    }
    for (number = 0; number < 2; number++) {
        CHECK(pthread_join(threads[number], NULL) == 0);
        CHECK(workers[number].good);
        planes_free(&workers[number].wanted);
        segmenter_close(&segmenters[number]);
    }
}
