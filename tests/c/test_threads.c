/* Two handles on two threads, sharing one bundle, give what they give one after the other; one
 * handle on several threads gives what it gives on one. */
#define _POSIX_C_SOURCE 200112L

#include <pthread.h>
#include <stdlib.h>

#include "check.h"
#include "tests.h"

/* One thread's work. Checks count in main's numbers, so threads only note what they saw. */
struct worker {
    zsseg_t *handle;
    const struct fixture *fixture;
    unsigned seed;
    unsigned turns;
    struct planes planes;
    int good;
};

static void *work_on_features(void *argument)
{
    struct worker *worker = argument;
    struct bytes values = features_new(worker->seed);
    zsseg_features_t features = features_of(values);
    zsseg_output_t output = output_of(&worker->planes, FRAME_WIDTH);
    unsigned turn;
    for (turn = 0; turn < worker->turns; turn++) {
        bytes_fill(worker->planes.labels, PATTERN);
        worker->good &= zsseg_segment_features(worker->handle, &features, FRAME_WIDTH,
                                               FRAME_HEIGHT, &output) == ZSSEG_OK;
    }
    bytes_free(&values);
    return NULL;
}

static void *work_on_frames(void *argument)
{
    struct worker *worker = argument;
    const struct fixture *fixture = worker->fixture;
    uint32_t width = fixture->picture_width, height = fixture->picture_height;
    zsseg_image_t image = image_rgb8(fixture->picture.data, width, height);
    zsseg_output_t output = output_of(&worker->planes, width);
    /* The second worker sees the picture with red and blue exchanged. */
    image.format = worker->seed == 1 ? ZSSEG_FORMAT_RGB8 : ZSSEG_FORMAT_BGR8;
    worker->good &= zsseg_segment(worker->handle, &image, &output) == ZSSEG_OK;
    return NULL;
}

/* Runs both workers in sequence or at once. */
static void run_both(void *(*work)(void *), struct worker workers[2], int at_once)
{
    pthread_t threads[2];
    int number;
    for (number = 0; number < 2; number++) {
        if (!at_once) {
            work(&workers[number]);
        } else if (pthread_create(&threads[number], NULL, work, &workers[number]) != 0) {
            fprintf(stderr, "no thread\n");
            exit(2);
        }
    }
    for (number = 0; at_once && number < 2; number++) {
        CHECK(pthread_join(threads[number], NULL) == 0);
    }
}

static void compare(const struct fixture *fixture, void *(*work)(void *), struct bytes bundle,
                    uint32_t width, uint32_t height)
{
    struct segmenter segmenters[2];
    struct worker serial[2], parallel[2];
    int number;
    for (number = 0; number < 2; number++) {
        segmenters[number] = segmenter_open(bundle, width, height);
        serial[number].handle = segmenters[number].handle;
        serial[number].fixture = fixture;
        serial[number].seed = (unsigned)number + 1;
        serial[number].turns = 200;
        serial[number].good = 1;
        parallel[number] = serial[number];
        serial[number].planes = planes_new(width, height);
        parallel[number].planes = planes_new(width, height);
    }
    run_both(work, serial, 0);
    run_both(work, parallel, 1);
    CHECK(!planes_equal(&serial[0].planes, &serial[1].planes));
    for (number = 0; number < 2; number++) {
        CHECK(serial[number].good && parallel[number].good);
        CHECK(planes_equal(&serial[number].planes, &parallel[number].planes));
        planes_free(&serial[number].planes);
        planes_free(&parallel[number].planes);
        segmenter_close(&segmenters[number]);
    }
}

void test_threads(const struct fixture *fixture)
{
    compare(fixture, work_on_features, fixture->tiny, FRAME_WIDTH, FRAME_HEIGHT);
}

void test_network_threads(const struct fixture *fixture)
{
    compare(fixture, work_on_frames, fixture->network, fixture->picture_width,
            fixture->picture_height);
}

/* What a pool was asked. */
struct pool {
    unsigned calls;
    unsigned parts;
};

struct share {
    void (*part)(void *parts, uint32_t index);
    void *parts;
    uint32_t index;
};

static void *work_on_part(void *argument)
{
    struct share *share = argument;
    share->part(share->parts, share->index);
    return NULL;
}

/* A thread for each part but the first. */
static void run_on_threads(void *context, void (*part)(void *parts, uint32_t index), void *parts,
                           uint32_t count)
{
    struct pool *pool = context;
    pthread_t threads[16];
    struct share shares[16];
    uint32_t index;
    pool->calls += 1;
    pool->parts += count;
    for (index = 1; index < count; index++) {
        shares[index].part = part;
        shares[index].parts = parts;
        shares[index].index = index;
        if (pthread_create(&threads[index], NULL, work_on_part, &shares[index]) != 0) {
            fprintf(stderr, "no thread\n");
            exit(2);
        }
    }
    part(parts, 0);
    for (index = 1; index < count; index++) {
        pthread_join(threads[index], NULL);
    }
}

/* Some parts twice, some never, and one that there is not. */
static void run_badly(void *context, void (*part)(void *parts, uint32_t index), void *parts,
                      uint32_t count)
{
    struct pool *pool = context;
    pool->calls += 1;
    pool->parts += count;
    part(parts, count - 1);
    part(parts, count - 1);
    part(parts, count);
    part(parts, UINT32_MAX);
}

void test_thread_pool(const struct fixture *fixture)
{
    uint32_t width = fixture->picture_width, height = fixture->picture_height;
    zsseg_limits_t limits = limits_for(width, height);
    zsseg_image_t image = image_rgb8(fixture->picture.data, width, height);
    struct planes alone = planes_new(width, height), shared = planes_new(width, height);
    zsseg_output_t output = output_of(&alone, width);
    struct pool asked = {0, 0};
    zsseg_thread_pool_t pool = {sizeof pool, 0, &asked, run_on_threads};
    struct segmenter segmenter;
    unsigned calls;

    limits.threads = 3;
    segmenter = segmenter_open_with(fixture->network, &limits);
    CHECK_STATUS(zsseg_segment(segmenter.handle, &image, &output), ZSSEG_OK);
    CHECK(asked.calls == 0);

    output = output_of(&shared, width);
    CHECK_STATUS(zsseg_set_thread_pool(segmenter.handle, &pool), ZSSEG_OK);
    CHECK_STATUS(zsseg_segment(segmenter.handle, &image, &output), ZSSEG_OK);
    CHECK(planes_equal(&alone, &shared));
    CHECK(asked.calls > 10 && asked.parts >= 2 * asked.calls && asked.parts <= 3 * asked.calls);

    bytes_fill(shared.labels, PATTERN);
    pool.run = run_badly;
    CHECK_STATUS(zsseg_set_thread_pool(segmenter.handle, &pool), ZSSEG_OK);
    calls = asked.calls;
    CHECK_STATUS(zsseg_segment(segmenter.handle, &image, &output), ZSSEG_OK);
    CHECK(asked.calls == 2 * calls);
    CHECK(planes_equal(&alone, &shared));

    bytes_fill(shared.labels, PATTERN);
    CHECK_STATUS(zsseg_set_thread_pool(segmenter.handle, NULL), ZSSEG_OK);
    CHECK_STATUS(zsseg_segment(segmenter.handle, &image, &output), ZSSEG_OK);
    CHECK(asked.calls == 2 * calls);
    CHECK(planes_equal(&alone, &shared));

    planes_free(&alone);
    planes_free(&shared);
    segmenter_close(&segmenter);
}

/* Masks alone: a frame that is long enough to be cut. */
void test_mask_pool(const struct fixture *fixture)
{
    const uint32_t width = 200, height = 210;
    zsseg_limits_t limits = limits_for(width, height);
    struct planes alone = planes_new(width, height), shared = planes_new(width, height);
    zsseg_output_t output = output_of(&alone, width);
    struct bytes values = features_new(1);
    zsseg_features_t features = features_of(values);
    struct pool asked = {0, 0};
    zsseg_thread_pool_t pool = {sizeof pool, 0, &asked, run_on_threads};
    struct segmenter segmenter;
    limits.threads = 3;
    segmenter = segmenter_open_with(fixture->tiny, &limits);
    CHECK_STATUS(zsseg_segment_features(segmenter.handle, &features, width, height, &output),
                 ZSSEG_OK);

    output = output_of(&shared, width);
    CHECK_STATUS(zsseg_set_thread_pool(segmenter.handle, &pool), ZSSEG_OK);
    CHECK_STATUS(zsseg_segment_features(segmenter.handle, &features, width, height, &output),
                 ZSSEG_OK);
    CHECK(asked.calls == 1 && asked.parts == 3);
    CHECK(planes_equal(&alone, &shared));

    bytes_fill(shared.labels, PATTERN);
    pool.run = run_badly;
    CHECK_STATUS(zsseg_set_thread_pool(segmenter.handle, &pool), ZSSEG_OK);
    CHECK_STATUS(zsseg_segment_features(segmenter.handle, &features, width, height, &output),
                 ZSSEG_OK);
    CHECK(asked.calls == 2 && asked.parts == 6);
    CHECK(planes_equal(&alone, &shared));

    bytes_free(&values);
    planes_free(&alone);
    planes_free(&shared);
    segmenter_close(&segmenter);
}

void test_thread_pool_arguments(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open(fixture->tiny, FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_thread_pool_t pool = {sizeof pool, 0, NULL, NULL};
    CHECK_STATUS(zsseg_set_thread_pool(NULL, &pool), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_set_thread_pool(segmenter.handle, &pool), ZSSEG_E_NULL_POINTER);
    pool.run = run_on_threads;
    pool.struct_size = 4;
    CHECK_STATUS(zsseg_set_thread_pool(segmenter.handle, &pool), ZSSEG_E_STRUCT_SIZE);
    CHECK_STATUS(zsseg_set_thread_pool(segmenter.handle, NULL), ZSSEG_OK);
    segmenter_close(&segmenter);
}
