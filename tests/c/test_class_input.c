/* What classes are made from, and everything that can be wrong with it. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "tests.h"

#define SEED 5
#define DIM 3u /* of the embeddings of the bundle with words */

static const float ROW[CHANNELS] = {0.75f, -0.25f, 1.0f, 0.5f};
static const float DOG[DIM] = {1.0f, -0.5f, 2.0f};

/* One way of adding with one fault; nothing may have changed. */
static void check_refused(zsseg_t *handle, zsseg_status_t found, zsseg_status_t wanted,
                          const struct planes *before, uint32_t label)
{
    char text[504];
    uint32_t vacancies = 77;
    CHECK_STATUS(found, wanted);
    CHECK(label == 77);
    CHECK_STATUS(zsseg_last_error(handle, text, sizeof text), ZSSEG_OK);
    CHECK(strstr(text, zsseg_status_str(wanted)) == text);
    CHECK_STATUS(zsseg_class_vacancies(handle, &vacancies), ZSSEG_OK);
    CHECK(vacancies == 2);
    CHECK(mask_is_still(handle, SEED, before));
}

static void check_name(zsseg_t *handle, const char *name, zsseg_status_t wanted,
                       const struct planes *before)
{
    zsseg_new_class_t added = class_named(name);
    uint32_t label = 77;
    check_refused(handle, zsseg_class_add_row(handle, &added, ROW, CHANNELS, 0.0f, &label), wanted,
                  before, label);
    check_refused(handle, zsseg_class_rename(handle, 1, name), wanted, before, label);
    CHECK(label_of(handle, "cat") == 1);
}

void test_class_names(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open_all(fixture->words);
    zsseg_t *handle = segmenter.handle;
    struct planes before = planes_segmented(handle, SEED);
    struct bytes name = bytes_new(64);
    zsseg_new_class_t added = class_named((const char *)name.data);
    uint32_t label = 77;

    check_name(handle, NULL, ZSSEG_E_NULL_POINTER, &before);
    check_name(handle, "", ZSSEG_E_INVALID_ARGUMENT, &before);
    check_name(handle, "two\nlines", ZSSEG_E_INVALID_ARGUMENT, &before);
    check_name(handle, "\x7f", ZSSEG_E_INVALID_ARGUMENT, &before);
    check_name(handle, "c1 \xc2\x85", ZSSEG_E_INVALID_ARGUMENT, &before);
    check_name(handle, "\xff", ZSSEG_E_INVALID_ARGUMENT, &before);
    check_name(handle, "half \xc3", ZSSEG_E_INVALID_ARGUMENT, &before);
    check_name(handle, "\xc0\xae", ZSSEG_E_INVALID_ARGUMENT, &before);
    check_name(handle, "\xed\xa0\x80", ZSSEG_E_INVALID_ARGUMENT, &before);
    check_name(handle, "zebra", ZSSEG_E_CLASS_EXISTS, &before);

    /* 64 bytes without a NUL, and not one byte more is read; 63 are a name. */
    memset(name.data, 'a', 64);
    check_name(handle, (const char *)name.data, ZSSEG_E_INVALID_ARGUMENT, &before);
    name.data[63] = 0;
    CHECK_STATUS(zsseg_class_add_row(handle, &added, ROW, CHANNELS, 0.0f, &label), ZSSEG_OK);
    memset(name.data, 0, 64);
    CHECK(strlen(class_at(handle, label).name) == 63);

    planes_free(&before);
    bytes_free(&name);
    segmenter_close(&segmenter);
}

static void check_new(zsseg_t *handle, const zsseg_new_class_t *added, zsseg_status_t wanted,
                      const struct planes *before)
{
    uint32_t label = 77;
    check_refused(handle, zsseg_class_add_row(handle, added, ROW, CHANNELS, 0.0f, &label), wanted,
                  before, label);
    check_refused(handle,
                  zsseg_class_add_embedding(handle, added, DOG, DIM, ZSSEG_METHOD_DIRECT, &label),
                  wanted, before, label);
    check_refused(handle, zsseg_class_add_word(handle, added, "dog", ZSSEG_METHOD_DIRECT, &label),
                  wanted, before, label);
}

static void check_new_classes(zsseg_t *handle, const struct planes *before)
{
    zsseg_new_class_t added = class_named("bird");
    check_new(handle, NULL, ZSSEG_E_NULL_POINTER, before);
    added.struct_size -= 1;
    check_new(handle, &added, ZSSEG_E_STRUCT_SIZE, before);
    added = class_named("bird");
    added.flags = 8;
    check_new(handle, &added, ZSSEG_E_INVALID_ARGUMENT, before);
    added.flags = ZSSEG_NEW_CLASS_LABEL;
    added.label = 2;
    check_new(handle, &added, ZSSEG_E_CLASS_EXISTS, before);
    added.label = CLASSES + 2;
    check_new(handle, &added, ZSSEG_E_INVALID_ARGUMENT, before);
    added.label = 65536;
    check_new(handle, &added, ZSSEG_E_INVALID_ARGUMENT, before);
    added.label = UINT32_MAX;
    check_new(handle, &added, ZSSEG_E_INVALID_ARGUMENT, before);
    added = class_named("bird");
    added.bias = NAN;
    check_new(handle, &added, ZSSEG_E_INVALID_ARGUMENT, before);
    added.bias = -INFINITY;
    check_new(handle, &added, ZSSEG_E_INVALID_ARGUMENT, before);
}

/* Rows and embeddings with one bad number at every place. */
static void check_bad_numbers(zsseg_t *handle, float bad, const struct planes *before)
{
    zsseg_new_class_t added = class_named("bird");
    float row[CHANNELS], embedding[DIM];
    uint32_t label = 77;
    size_t at;
    for (at = 0; at < CHANNELS; at++) {
        memcpy(row, ROW, sizeof row);
        row[at] = bad;
        check_refused(handle, zsseg_class_add_row(handle, &added, row, CHANNELS, 0.0f, &label),
                      ZSSEG_E_INVALID_ARGUMENT, before, label);
        check_refused(handle, zsseg_class_replace_row(handle, 1, row, CHANNELS, 0.0f),
                      ZSSEG_E_INVALID_ARGUMENT, before, label);
    }
    for (at = 0; at < DIM; at++) {
        memcpy(embedding, DOG, sizeof embedding);
        embedding[at] = bad;
        check_refused(handle,
                      zsseg_class_add_embedding(handle, &added, embedding, DIM,
                                                ZSSEG_METHOD_DIRECT, &label),
                      ZSSEG_E_INVALID_ARGUMENT, before, label);
        check_refused(handle,
                      zsseg_class_replace_embedding(handle, 1, embedding, DIM,
                                                    ZSSEG_METHOD_DIRECT),
                      ZSSEG_E_INVALID_ARGUMENT, before, label);
    }
    check_refused(handle, zsseg_class_add_row(handle, &added, ROW, CHANNELS, bad, &label),
                  ZSSEG_E_INVALID_ARGUMENT, before, label);
    check_refused(handle, zsseg_class_set_bias(handle, 1, bad), ZSSEG_E_INVALID_ARGUMENT, before,
                  label);
    check_refused(handle, zsseg_class_set_prior(handle, 1, bad), ZSSEG_E_INVALID_ARGUMENT, before,
                  label);
}

static void check_lengths(zsseg_t *handle, const struct planes *before)
{
    static const size_t WRONG[] = {0, 1, 2, 5, 1000};
    zsseg_new_class_t added = class_named("bird");
    struct bytes zeros = bytes_new(1000 * sizeof(float));
    const float *numbers = (const float *)(const void *)zeros.data;
    uint32_t label = 77;
    size_t i;
    bytes_fill(zeros, 0);
    for (i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        check_refused(handle,
                      zsseg_class_add_row(handle, &added, numbers, WRONG[i], 0.0f, &label),
                      ZSSEG_E_INVALID_ARGUMENT, before, label);
        check_refused(handle,
                      zsseg_class_add_embedding(handle, &added, numbers, WRONG[i],
                                                ZSSEG_METHOD_DIRECT, &label),
                      ZSSEG_E_INVALID_ARGUMENT, before, label);
    }
    /* Zero as an embedding means nothing; as a row of a linear head it is one. */
    check_refused(handle,
                  zsseg_class_add_embedding(handle, &added, numbers, DIM, ZSSEG_METHOD_DIRECT,
                                            &label),
                  ZSSEG_E_INVALID_ARGUMENT, before, label);
    check_refused(handle, zsseg_class_add_row(handle, &added, ROW, SIZE_MAX, 0.0f, &label),
                  ZSSEG_E_OVERLAP, before, label);
    check_refused(handle, zsseg_class_add_row(handle, &added, NULL, CHANNELS, 0.0f, &label),
                  ZSSEG_E_NULL_POINTER, before, label);
    check_refused(handle,
                  zsseg_class_add_embedding(handle, &added, NULL, DIM, ZSSEG_METHOD_DIRECT,
                                            &label),
                  ZSSEG_E_NULL_POINTER, before, label);
    check_refused(handle,
                  zsseg_class_add_row(handle, &added,
                                      (const float *)(const void *)(zeros.data + 1), CHANNELS,
                                      0.0f, &label),
                  ZSSEG_E_INVALID_ARGUMENT, before, label);
    bytes_free(&zeros);
}

void test_class_numbers(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open_all(fixture->words);
    zsseg_t *handle = segmenter.handle;
    struct planes before = planes_segmented(handle, SEED);
    zsseg_new_class_t added = class_named("bird");
    const float *inside = (const float *)(const void *)segmenter.arena.data;
    uint32_t label = 77;

    check_new_classes(handle, &before);
    check_bad_numbers(handle, NAN, &before);
    check_bad_numbers(handle, INFINITY, &before);
    check_bad_numbers(handle, -INFINITY, &before);
    check_lengths(handle, &before);
    check_refused(handle, zsseg_class_set_prior(handle, 1, 0.0f), ZSSEG_E_INVALID_ARGUMENT,
                  &before, label);
    check_refused(handle, zsseg_class_set_prior(handle, 1, -1.0f), ZSSEG_E_INVALID_ARGUMENT,
                  &before, label);
    check_refused(handle, zsseg_class_add_row(handle, &added, inside, CHANNELS, 0.0f, &label),
                  ZSSEG_E_OVERLAP, &before, label);
    check_refused(handle,
                  zsseg_class_replace_embedding(handle, 1, inside, DIM, ZSSEG_METHOD_DIRECT),
                  ZSSEG_E_OVERLAP, &before, label);
    planes_free(&before);
    segmenter_close(&segmenter);
}

/* A phrase gives the row of the embedding that the bundle makes of it. */
static void check_phrase(zsseg_t *handle, struct bytes bundle, const char *phrase)
{
    zsseg_new_class_t added = class_named("thing");
    float embedding[DIM];
    struct planes by_word;
    uint32_t label = 77;
    CHECK_STATUS(zsseg_class_add_word(handle, &added, phrase, ZSSEG_METHOD_DIRECT, &label),
                 ZSSEG_OK);
    CHECK(class_at(handle, label).origin == ZSSEG_ORIGIN_WORD);
    by_word = planes_segmented(handle, SEED);
    CHECK(planes_count(&by_word, (uint8_t)label) > 0);
    CHECK_STATUS(zsseg_class_remove(handle, label), ZSSEG_OK);
    CHECK_STATUS(zsseg_bundle_embed(bundle.data, bundle.len, phrase, embedding, DIM, NULL),
                 ZSSEG_OK);
    CHECK_STATUS(zsseg_class_add_embedding(handle, &added, embedding, DIM, ZSSEG_METHOD_DIRECT,
                                           &label),
                 ZSSEG_OK);
    CHECK(class_at(handle, label).origin == ZSSEG_ORIGIN_EMBEDDING);
    CHECK(mask_is_still(handle, SEED, &by_word));
    CHECK_STATUS(zsseg_class_replace_word(handle, label, "grey", ZSSEG_METHOD_DIRECT), ZSSEG_OK);
    CHECK_STATUS(zsseg_class_replace_word(handle, label, phrase, ZSSEG_METHOD_DIRECT), ZSSEG_OK);
    CHECK(mask_is_still(handle, SEED, &by_word));
    CHECK_STATUS(zsseg_class_remove(handle, label), ZSSEG_OK);
    planes_free(&by_word);
}

static void check_embeddings(struct bytes words)
{
    zsseg_error_t error = {sizeof error, 0, ""};
    float found[DIM] = {7.0f, 7.0f, 7.0f};
    CHECK_STATUS(zsseg_bundle_embed(words.data, words.len, "Grey wolf", found, DIM, &error),
                 ZSSEG_OK);
    CHECK(found[0] == 0.5f && found[1] == 0.0f && found[2] == 1.0f);
    CHECK_STATUS(zsseg_bundle_embed(words.data, words.len, "HOT DOG", found, DIM, NULL), ZSSEG_OK);
    CHECK(found[0] == 0.5f && found[1] == 0.5f && found[2] == -2.0f);
    CHECK_STATUS(zsseg_bundle_embed(words.data, words.len, "hot-dog", found, DIM, NULL), ZSSEG_OK);
    CHECK(found[0] == 0.0f && found[1] == -0.125f && found[2] == 1.0f);
    CHECK_STATUS(zsseg_bundle_embed(words.data, words.len, "grey cat", found, DIM, &error),
                 ZSSEG_E_UNKNOWN_WORD);
    CHECK(error.status == ZSSEG_E_UNKNOWN_WORD && strstr(error.text, "found 2, wanted 2") != NULL);
    CHECK_STATUS(zsseg_bundle_embed(words.data, words.len, "dog", found, DIM + 1, NULL),
                 ZSSEG_E_INVALID_ARGUMENT);
    CHECK_STATUS(zsseg_bundle_embed(words.data, words.len, NULL, found, DIM, NULL),
                 ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_bundle_embed(words.data, words.len, "dog", NULL, DIM, NULL),
                 ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_bundle_embed(words.data, words.len, "dog",
                                    (float *)(void *)(words.data + words.len - 4), DIM, NULL),
                 ZSSEG_E_OVERLAP);
    CHECK(found[0] == 0.0f && found[1] == -0.125f && found[2] == 1.0f);
}

void test_class_words(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open_all(fixture->words);
    struct segmenter plain = segmenter_open_all(fixture->tiny);
    zsseg_t *handle = segmenter.handle;
    struct planes before = planes_segmented(handle, SEED);
    struct planes plain_before = planes_segmented(plain.handle, SEED);
    zsseg_new_class_t dog = class_named("dog"), unknown = class_named("unicorn");
    struct bytes endless = bytes_new(1024);
    uint32_t label = 77;

    check_embeddings(fixture->words);
    check_phrase(handle, fixture->words, "dog");
    check_phrase(handle, fixture->words, "grey wolf");
    check_phrase(handle, fixture->words, "ko\xc4\x8dka");
#define WORD(name, phrase, method, wanted)                                                       \
    check_refused(handle, zsseg_class_add_word(handle, &(name), (phrase), (method), &label),     \
                  (wanted), &before, label)
    WORD(unknown, NULL, ZSSEG_METHOD_DIRECT, ZSSEG_E_UNKNOWN_WORD);
    WORD(dog, "grey unicorn", ZSSEG_METHOD_DIRECT, ZSSEG_E_UNKNOWN_WORD);
    WORD(dog, "", ZSSEG_METHOD_DIRECT, ZSSEG_E_INVALID_ARGUMENT);
    WORD(dog, " - ", ZSSEG_METHOD_DIRECT, ZSSEG_E_INVALID_ARGUMENT);
    WORD(dog, "\xff", ZSSEG_METHOD_DIRECT, ZSSEG_E_INVALID_ARGUMENT);
    WORD(dog, NULL, 2, ZSSEG_E_INVALID_ARGUMENT);
    WORD(dog, NULL, UINT32_MAX, ZSSEG_E_INVALID_ARGUMENT);
    WORD(dog, NULL, ZSSEG_METHOD_GENERATOR, ZSSEG_E_UNSUPPORTED); /* not among the uses */
    bytes_fill(endless, 'a');
    WORD(dog, (const char *)endless.data, ZSSEG_METHOD_DIRECT, ZSSEG_E_INVALID_ARGUMENT);
#undef WORD
    check_refused(handle, zsseg_class_replace_word(handle, 1, NULL, ZSSEG_METHOD_DIRECT),
                  ZSSEG_E_NULL_POINTER, &before, label);
    check_refused(handle, zsseg_class_replace_word(handle, 1, "unicorn", ZSSEG_METHOD_DIRECT),
                  ZSSEG_E_UNKNOWN_WORD, &before, label);
    /* A bundle without embeddings. */
    check_refused(plain.handle,
                  zsseg_class_add_word(plain.handle, &dog, NULL, ZSSEG_METHOD_DIRECT, &label),
                  ZSSEG_E_UNSUPPORTED, &plain_before, label);
    check_refused(plain.handle,
                  zsseg_class_add_embedding(plain.handle, &dog, DOG, DIM, ZSSEG_METHOD_DIRECT,
                                            &label),
                  ZSSEG_E_UNSUPPORTED, &plain_before, label);
    planes_free(&before);
    planes_free(&plain_before);
    bytes_free(&endless);
    segmenter_close(&segmenter);
    segmenter_close(&plain);
}

/* Rows of a cosine head are embeddings, whatever their length. */
void test_class_cosine(const struct fixture *fixture)
{
    static const float LONG_ROW[CHANNELS] = {96.0f, -32.0f, 128.0f, 64.0f}; /* 128 ROW */
    static const float ZERO[CHANNELS] = {0.0f, 0.0f, 0.0f, 0.0f};
    static const float HUGE_ROW[CHANNELS] = {FLT_MAX, FLT_MAX, FLT_MAX, FLT_MAX};
    struct segmenter segmenter = segmenter_open_all(fixture->cosine);
    zsseg_t *handle = segmenter.handle;
    struct planes before = planes_segmented(handle, SEED), with;
    zsseg_new_class_t bird = class_named("bird"), wolf = class_named("wolf");
    uint32_t label = 77;

    check_refused(handle, zsseg_class_add_row(handle, &bird, ZERO, CHANNELS, 0.0f, &label),
                  ZSSEG_E_INVALID_ARGUMENT, &before, label);
    check_refused(handle, zsseg_class_add_row(handle, &bird, ROW, CHANNELS, 0.5f, &label),
                  ZSSEG_E_INVALID_ARGUMENT, &before, label);
    check_refused(handle,
                  zsseg_class_add_embedding(handle, &bird, ZERO, CHANNELS, ZSSEG_METHOD_DIRECT,
                                            &label),
                  ZSSEG_E_INVALID_ARGUMENT, &before, label);
    CHECK_STATUS(zsseg_class_add_embedding(handle, &bird, ROW, CHANNELS, ZSSEG_METHOD_DIRECT,
                                           &label),
                 ZSSEG_OK);
    with = planes_segmented(handle, SEED);
    CHECK(planes_count(&with, (uint8_t)label) > 0);
    CHECK_STATUS(zsseg_class_replace_row(handle, label, LONG_ROW, CHANNELS, 0.0f), ZSSEG_OK);
    CHECK(mask_is_still(handle, SEED, &with));
    /* The sum of the squares of these leaves f32. */
    CHECK_STATUS(zsseg_class_replace_row(handle, label, HUGE_ROW, CHANNELS, 0.0f), ZSSEG_OK);
    CHECK(!mask_is_still(handle, SEED, &with));
    CHECK_STATUS(zsseg_class_replace_row(handle, label, ROW, CHANNELS, 0.0f), ZSSEG_OK);
    CHECK(mask_is_still(handle, SEED, &with));
    CHECK_STATUS(zsseg_class_add_word(handle, &wolf, NULL, ZSSEG_METHOD_DIRECT, &label), ZSSEG_OK);
    CHECK(!mask_is_still(handle, SEED, &with));
    planes_free(&before);
    planes_free(&with);
    segmenter_close(&segmenter);
}

void test_class_arguments(const struct fixture *fixture)
{
    static const uint32_t LABELS[] = {CLASSES, CLASSES + 2, 65535, 65536 + 1, UINT32_MAX};
    struct segmenter segmenter = segmenter_open_all(fixture->words);
    zsseg_t *handle = segmenter.handle;
    zsseg_new_class_t bird = class_named("bird");
    zsseg_class_t info;
    uint32_t number = 77;
    size_t i;

    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    for (i = 0; i < sizeof LABELS / sizeof LABELS[0]; i++) {
        uint32_t label = LABELS[i];
        CHECK_STATUS(zsseg_class_remove(handle, label), ZSSEG_E_INVALID_ARGUMENT);
        CHECK_STATUS(zsseg_class_rename(handle, label, "x"), ZSSEG_E_INVALID_ARGUMENT);
        CHECK_STATUS(zsseg_class_enable(handle, label, 1), ZSSEG_E_INVALID_ARGUMENT);
        CHECK_STATUS(zsseg_class_set_bias(handle, label, 0.0f), ZSSEG_E_INVALID_ARGUMENT);
        CHECK_STATUS(zsseg_class_set_prior(handle, label, 1.0f), ZSSEG_E_INVALID_ARGUMENT);
        CHECK_STATUS(zsseg_class_info(handle, label, &info), ZSSEG_E_INVALID_ARGUMENT);
        CHECK_STATUS(zsseg_class_replace_row(handle, label, ROW, CHANNELS, 0.0f),
                     ZSSEG_E_INVALID_ARGUMENT);
        CHECK_STATUS(
            zsseg_class_replace_embedding(handle, label, DOG, DIM, ZSSEG_METHOD_DIRECT),
            ZSSEG_E_INVALID_ARGUMENT);
        CHECK_STATUS(zsseg_class_replace_word(handle, label, "dog", ZSSEG_METHOD_DIRECT),
                     ZSSEG_E_INVALID_ARGUMENT);
    }
    CHECK(bytes_are((const uint8_t *)&info + 4, sizeof info - 4, 0));
    CHECK_STATUS(zsseg_class_info(handle, 0, NULL), ZSSEG_E_NULL_POINTER);
    info.struct_size = 23;
    CHECK_STATUS(zsseg_class_info(handle, 0, &info), ZSSEG_E_STRUCT_SIZE);
    CHECK_STATUS(zsseg_class_add_row(handle, &bird, ROW, CHANNELS, 0.0f, NULL),
                 ZSSEG_E_NULL_POINTER);
    CHECK(label_of(handle, "bird") == UINT32_MAX);
    CHECK_STATUS(zsseg_class_add_row(NULL, &bird, ROW, CHANNELS, 0.0f, &number),
                 ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_class_add_embedding(NULL, &bird, DOG, DIM, 0, &number),
                 ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_class_add_word(NULL, &bird, "dog", 0, &number), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_class_replace_row(NULL, 0, ROW, CHANNELS, 0.0f), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_class_replace_embedding(NULL, 0, DOG, DIM, 0), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_class_replace_word(NULL, 0, "dog", 0), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_class_remove(NULL, 0), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_class_rename(NULL, 0, "x"), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_class_enable(NULL, 0, 1), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_class_set_bias(NULL, 0, 0.0f), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_class_set_prior(NULL, 0, 1.0f), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_class_find(NULL, "x", &number), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_class_find(handle, NULL, &number), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_class_find(handle, "cat", NULL), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_class_find(handle, "\xff", &number), ZSSEG_E_INVALID_ARGUMENT);
    CHECK_STATUS(zsseg_class_info(NULL, 0, &info), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_label_capacity(NULL, &number), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_label_capacity(handle, NULL), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_class_vacancies(NULL, &number), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_class_vacancies(handle, NULL), ZSSEG_E_NULL_POINTER);
    CHECK(number == 77);
    segmenter_close(&segmenter);
}
