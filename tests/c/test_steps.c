/* Frames in pieces, cancelled frames, deadlines. */
#define _POSIX_C_SOURCE 200112L

#include <pthread.h>
#include <stdlib.h>

#include "check.h"
#include "tests.h"

#define SEED 9

/* A frame of features with its output, in memory that stays. */
struct job {
    struct bytes values;
    zsseg_features_t features;
    zsseg_frame_t frame;
    struct planes planes;
    zsseg_output_t output;
};

static void job_open(struct job *job)
{
    job->values = features_new(SEED);
    job->features = features_of(job->values);
    memset(&job->frame, 0, sizeof job->frame);
    job->frame.struct_size = sizeof job->frame;
    job->frame.width = FRAME_WIDTH;
    job->frame.height = FRAME_HEIGHT;
    job->frame.features = &job->features;
    job->planes = planes_new(FRAME_WIDTH, FRAME_HEIGHT);
    job->output = output_of(&job->planes, FRAME_WIDTH);
}

static void job_close(struct job *job)
{
    bytes_free(&job->values);
    planes_free(&job->planes);
}

/* Steps to the end; the number of steps, 0 after an error. */
static unsigned step_through(zsseg_t *handle, uint32_t pieces)
{
    uint32_t done = 0;
    unsigned steps = 0;
    while (!done) {
        zsseg_status_t status = zsseg_step(handle, pieces, &done);
        CHECK_STATUS(status, ZSSEG_OK);
        if (status != ZSSEG_OK) {
            return 0;
        }
        steps += 1;
    }
    return steps;
}

/* Every way of cutting a frame into steps gives the mask of one call. */
static void check_cuts(zsseg_t *handle)
{
    struct planes whole = planes_segmented(handle, SEED);
    uint32_t done = 77, pieces;
    unsigned most = 0;
    for (pieces = 1; pieces <= 64; pieces += pieces < 8 ? 1 : 7) {
        struct job job;
        unsigned steps;
        job_open(&job);
        CHECK_STATUS(zsseg_begin(handle, &job.frame, &job.output), ZSSEG_OK);
        /* The structs are the library's no longer. */
        memset(&job.frame, PATTERN, sizeof job.frame);
        memset(&job.features, PATTERN, sizeof job.features);
        memset(&job.output, PATTERN, sizeof job.output);
        steps = step_through(handle, pieces);
        most = pieces == 1 ? steps : most;
        CHECK(steps == (most + pieces - 1) / pieces);
        CHECK(planes_equal(&job.planes, &whole));
        CHECK_STATUS(zsseg_step(handle, 1, &done), ZSSEG_E_INVALID_STATE);
        job_close(&job);
    }
    CHECK(most >= FRAME_HEIGHT && done == 77);
    planes_free(&whole);
}

void test_steps(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open_all(fixture->words);
    zsseg_t *handle = segmenter.handle;
    zsseg_fusion_t fusion = {sizeof fusion, ZSSEG_FUSION_SOFT, 0.5f, 5};
    check_cuts(handle);
    CHECK_STATUS(zsseg_set_fusion(handle, &fusion), ZSSEG_OK);
    check_cuts(handle);
    segmenter_close(&segmenter);
}

/* Calls that give a frame at work up. */
static void check_given_up(zsseg_t *handle)
{
    zsseg_new_class_t dog = class_named("dog");
    zsseg_decision_t decision;
    struct planes planes;
    struct job job;
    uint32_t done = 77, label = 77;
    int number;
    memset(&decision, 0, sizeof decision);
    decision.struct_size = sizeof decision;
    CHECK_STATUS(zsseg_decision(handle, &decision), ZSSEG_OK);
    job_open(&job);
    for (number = 0; number < 8; number++) {
        CHECK_STATUS(zsseg_begin(handle, &job.frame, &job.output), ZSSEG_OK);
        CHECK_STATUS(zsseg_step(handle, 2, &done), ZSSEG_OK);
        CHECK(done == 0);
        done = 77;
        switch (number) {
        case 0:
            CHECK_STATUS(
                zsseg_class_add_word(handle, &dog, NULL, ZSSEG_METHOD_DIRECT, &label), ZSSEG_OK);
            break;
        case 1:
            CHECK_STATUS(zsseg_class_remove(handle, label), ZSSEG_OK);
            break;
        case 2:
            CHECK_STATUS(zsseg_set_decision(handle, &decision), ZSSEG_OK);
            break;
        case 3:
            CHECK_STATUS(zsseg_set_fusion(handle, NULL), ZSSEG_OK);
            break;
        case 4:
            CHECK_STATUS(zsseg_set_smoothing(handle, 1.0f, 1.0f), ZSSEG_OK);
            break;
        case 5:
            CHECK_STATUS(zsseg_forget(handle), ZSSEG_OK);
            break;
        case 6:
            CHECK_STATUS(zsseg_set_clock(handle, NULL), ZSSEG_OK);
            break;
        default:
            planes = planes_segmented(handle, SEED);
            planes_free(&planes);
            break;
        }
        CHECK_STATUS(zsseg_step(handle, 1, &done), ZSSEG_E_INVALID_STATE);
        CHECK(done == 77);
    }
    job_close(&job);
}

/* A frame that is refused gives up the one at work, whose buffers may be gone by then. */
static void check_refused(zsseg_t *handle, const struct job *job, const zsseg_frame_t *frame,
                          const zsseg_output_t *output, zsseg_status_t status)
{
    uint32_t done = 77;

    CHECK_STATUS(zsseg_begin(handle, &job->frame, &job->output), ZSSEG_OK);
    CHECK_STATUS(zsseg_step(handle, 1, &done), ZSSEG_OK);
    CHECK_STATUS(zsseg_begin(handle, frame, output), status);
    CHECK_STATUS(zsseg_step(handle, 1, &done), ZSSEG_E_INVALID_STATE);
}

/* Other arguments that are refused leave it alone. */
void test_steps_arguments(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open_all(fixture->words);
    zsseg_t *handle = segmenter.handle;
    struct planes whole = planes_segmented(handle, SEED);
    zsseg_image_t image = image_rgb8(whole.labels.data, 5, 3);
    struct bytes keys = features_new(1);
    zsseg_features_t affinity = features_of(keys);
    zsseg_features_t features;
    zsseg_output_t shared;
    zsseg_frame_t frame;
    struct job job;
    uint32_t done = 77;

    job_open(&job);
    CHECK_STATUS(zsseg_step(handle, 1, &done), ZSSEG_E_INVALID_STATE);
    CHECK_STATUS(zsseg_begin(handle, &job.frame, &job.output), ZSSEG_OK);
    CHECK_STATUS(zsseg_step(handle, 0, &done), ZSSEG_E_INVALID_ARGUMENT);
    CHECK_STATUS(zsseg_step(handle, 1, NULL), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_step(NULL, 1, &done), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_begin(NULL, &job.frame, &job.output), ZSSEG_E_NULL_POINTER);
    CHECK(done == 77);
    CHECK(step_through(handle, 3) > 1);
    CHECK(planes_equal(&job.planes, &whole));

    check_refused(handle, &job, NULL, &job.output, ZSSEG_E_NULL_POINTER);
    check_refused(handle, &job, &job.frame, NULL, ZSSEG_E_NULL_POINTER);
    frame = job.frame;
    frame.struct_size -= 1;
    check_refused(handle, &job, &frame, &job.output, ZSSEG_E_STRUCT_SIZE);
    frame = job.frame;
    frame.features = NULL;
    check_refused(handle, &job, &frame, &job.output, ZSSEG_E_NULL_POINTER);
    frame.features = &job.features;
    frame.image = &image;
    check_refused(handle, &job, &frame, &job.output, ZSSEG_E_INVALID_ARGUMENT);
    frame = job.frame;
    frame.reserved = 1;
    check_refused(handle, &job, &frame, &job.output, ZSSEG_E_INVALID_ARGUMENT);
    features = job.features;
    features.reserved = 1;
    frame = job.frame;
    frame.features = &features;
    check_refused(handle, &job, &frame, &job.output, ZSSEG_E_INVALID_ARGUMENT);
    frame.features = NULL;
    frame.image = &image; /* with a width beside it */
    check_refused(handle, &job, &frame, &job.output, ZSSEG_E_INVALID_ARGUMENT);

    /* Every plane against everything that is read, the affinity's features included. */
    frame = job.frame;
    frame.affinity = &affinity;
    shared = job.output;
    shared.labels = job.values.data;
    check_refused(handle, &job, &frame, &shared, ZSSEG_E_OVERLAP);
    shared.labels = keys.data;
    check_refused(handle, &job, &frame, &shared, ZSSEG_E_OVERLAP);
    shared = job.output;
    shared.unknown = segmenter.arena.data + segmenter.arena.len - 1;
    check_refused(handle, &job, &frame, &shared, ZSSEG_E_OVERLAP);
    shared.unknown = (uint8_t *)job.output.labels + FRAME_PIXELS - 1;
    check_refused(handle, &job, &frame, &shared, ZSSEG_E_OVERLAP);
    shared = job.output;
    shared.labels_stride_bytes -= 1;
    check_refused(handle, &job, &job.frame, &shared, ZSSEG_E_STRIDE_TOO_SHORT);
    frame = job.frame;
    frame.width = FRAME_WIDTH + 1;
    check_refused(handle, &job, &frame, &job.output, ZSSEG_E_FRAME_SIZE);
    frame.features = NULL;
    frame.image = &image;
    frame.width = frame.height = 0;
    check_refused(handle, &job, &frame, &job.output, ZSSEG_E_UNSUPPORTED); /* no network */

    CHECK_STATUS(zsseg_begin(handle, &job.frame, &job.output), ZSSEG_OK);
    CHECK_STATUS(zsseg_segment(handle, NULL, &job.output), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_step(handle, 1, &done), ZSSEG_E_INVALID_STATE);
    CHECK_STATUS(zsseg_begin(handle, &job.frame, &job.output), ZSSEG_OK);
    CHECK_STATUS(zsseg_segment_features(handle, NULL, 1, 1, &job.output), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_step(handle, 1, &done), ZSSEG_E_INVALID_STATE);
    check_given_up(handle);
    job_close(&job);
    bytes_free(&keys);
    planes_free(&whole);
    segmenter_close(&segmenter);
}

void test_steps_affinity(const struct fixture *fixture)
{
    zsseg_limits_t limits = limits_for(FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_fusion_t fusion = {sizeof fusion, ZSSEG_FUSION_SOFT, 1.0f, 1};
    struct bytes keys = bytes_new(4 * 6 * 2 * sizeof(float));
    struct segmenter segmenter;
    zsseg_features_t affinity;
    zsseg_t *handle;
    struct planes before;
    struct job job;
    uint32_t done = 77;
    size_t i;

    limits.uses = ZSSEG_USE_FUSION;
    limits.affinity_height = 4;
    limits.affinity_width = 6;
    segmenter.arena.len = 77;
    CHECK_STATUS(zsseg_arena_size(fixture->tiny.data, fixture->tiny.len, &limits,
                                  &segmenter.arena.len, NULL),
                 ZSSEG_E_INVALID_ARGUMENT);
    limits.affinity_channels = 2;
    limits.uses = 8;
    CHECK_STATUS(zsseg_arena_size(fixture->tiny.data, fixture->tiny.len, &limits,
                                  &segmenter.arena.len, NULL),
                 ZSSEG_E_INVALID_ARGUMENT);
    CHECK(segmenter.arena.len == 77);
    limits.uses = ZSSEG_USE_FUSION;
    segmenter = segmenter_open_with(fixture->tiny, &limits);
    handle = segmenter.handle;
    before = planes_segmented(handle, SEED);
    CHECK_STATUS(zsseg_set_fusion(handle, &fusion), ZSSEG_OK);
    /* The left half is one thing, the right half another. */
    for (i = 0; i < 48; i++) {
        float value = i % 2 == (i / 2 % 6 < 3) ? 1.0f : 0.25f;
        memcpy(keys.data + i * sizeof value, &value, sizeof value);
    }
    affinity = features_of(keys);
    affinity.grid_height = 4;
    affinity.grid_width = 6;
    affinity.channels = 2;
    job_open(&job);
    job.frame.affinity = &affinity;
    CHECK_STATUS(zsseg_begin(handle, &job.frame, &job.output), ZSSEG_OK);
    CHECK(step_through(handle, UINT32_MAX) == 1);
    CHECK(!planes_equal(&job.planes, &before));
    for (i = 0; i < FRAME_PIXELS; i++) { /* each half has one class; they meet between 5 and 12 */
        const uint8_t *labels = job.planes.labels.data;
        size_t column = i % FRAME_WIDTH;
        CHECK(column > 5 || labels[i] == labels[0]);
        CHECK(column < 12 || labels[i] == labels[FRAME_WIDTH - 1]);
    }
    /* Without them, or in another shape, there is nothing to find segments from. */
    affinity.grid_height = 6;
    affinity.grid_width = 4;
    CHECK_STATUS(zsseg_begin(handle, &job.frame, &job.output), ZSSEG_OK);
    CHECK_STATUS(zsseg_step(handle, UINT32_MAX, &done), ZSSEG_E_MODEL_SHAPE);
    CHECK_STATUS(zsseg_step(handle, 1, &done), ZSSEG_E_INVALID_STATE);
    job.frame.affinity = NULL;
    CHECK_STATUS(zsseg_begin(handle, &job.frame, &job.output), ZSSEG_OK);
    CHECK_STATUS(zsseg_step(handle, UINT32_MAX, &done), ZSSEG_E_MODEL_SHAPE);
    CHECK(done == 77);
    job_close(&job);
    planes_free(&before);
    bytes_free(&keys);
    segmenter_close(&segmenter);
}

void test_cancel(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open_all(fixture->tiny);
    zsseg_t *handle = segmenter.handle;
    struct planes whole = planes_segmented(handle, SEED);
    struct job job;
    uint32_t done = 77;
    char text[504];

    job_open(&job);
    CHECK_STATUS(zsseg_cancel(NULL), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_begin(handle, &job.frame, &job.output), ZSSEG_OK);
    CHECK_STATUS(zsseg_step(handle, 3, &done), ZSSEG_OK);
    done = 77;
    CHECK_STATUS(zsseg_cancel(handle), ZSSEG_OK);
    CHECK_STATUS(zsseg_step(handle, 3, &done), ZSSEG_E_CANCELLED);
    CHECK_STATUS(zsseg_last_error(handle, text, sizeof text), ZSSEG_OK);
    CHECK(strstr(text, zsseg_status_str(ZSSEG_E_CANCELLED)) == text);
    CHECK_STATUS(zsseg_step(handle, 3, &done), ZSSEG_E_INVALID_STATE);
    CHECK(done == 77);
    /* Too early to stop anything: the next frame is made all the same. */
    CHECK_STATUS(zsseg_cancel(handle), ZSSEG_OK);
    CHECK(mask_is_still(handle, SEED, &whole));
    CHECK_STATUS(zsseg_cancel(handle), ZSSEG_OK);
    CHECK_STATUS(zsseg_begin(handle, &job.frame, &job.output), ZSSEG_OK);
    CHECK(step_through(handle, 1) > 1);
    CHECK(planes_equal(&job.planes, &whole));
    job_close(&job);
    planes_free(&whole);
    segmenter_close(&segmenter);
}

/* Between the threads of test_cancel_thread(). */
struct signal {
    pthread_mutex_t lock;
    zsseg_t *handle;
    int over;
};

static int signal_is_over(struct signal *signal)
{
    int over;
    pthread_mutex_lock(&signal->lock);
    over = signal->over;
    pthread_mutex_unlock(&signal->lock);
    return over;
}

static void *cancel_until_over(void *argument)
{
    struct signal *signal = argument;
    while (!signal_is_over(signal)) {
        zsseg_cancel(signal->handle);
    }
    return NULL;
}

/* Another thread cancels without end: sooner or later it meets a frame at work. */
void test_cancel_thread(const struct fixture *fixture)
{
    zsseg_limits_t limits = limits_for(FRAME_WIDTH, 2048);
    struct segmenter segmenter = segmenter_open_with(fixture->tiny, &limits);
    struct signal signal = {PTHREAD_MUTEX_INITIALIZER, NULL, 0};
    struct planes planes = planes_new(FRAME_WIDTH, 2048);
    zsseg_output_t output = output_of(&planes, FRAME_WIDTH);
    zsseg_status_t status = ZSSEG_OK;
    struct planes still;
    pthread_t thread;
    struct job job;
    unsigned turn;

    job_open(&job);
    signal.handle = segmenter.handle;
    if (pthread_create(&thread, NULL, cancel_until_over, &signal) != 0) {
        fprintf(stderr, "no thread\n");
        exit(2);
    }
    for (turn = 0; turn < 10000 && status == ZSSEG_OK; turn++) {
        status = zsseg_segment_features(segmenter.handle, &job.features, FRAME_WIDTH, 2048,
                                        &output);
    }
    CHECK_STATUS(status, ZSSEG_E_CANCELLED);
    pthread_mutex_lock(&signal.lock);
    signal.over = 1;
    pthread_mutex_unlock(&signal.lock);
    CHECK(pthread_join(thread, NULL) == 0);
    still = planes_segmented(segmenter.handle, SEED);
    CHECK(mask_is_still(segmenter.handle, SEED, &still));
    planes_free(&still);
    planes_free(&planes);
    job_close(&job);
    segmenter_close(&segmenter);
}

/* A clock that goes on by `tick_ns` whenever it is read. */
static uint64_t clock_ns;
static uint64_t tick_ns;

static uint64_t fake_clock(void)
{
    clock_ns += tick_ns;
    return clock_ns;
}

static zsseg_times_t times_of(zsseg_t *handle)
{
    zsseg_times_t times;
    memset(&times, 0, sizeof times);
    times.struct_size = sizeof times;
    CHECK_STATUS(zsseg_stage_times(handle, &times), ZSSEG_OK);
    return times;
}

static void check_clock_arguments(zsseg_t *handle)
{
    zsseg_times_t times;
    CHECK_STATUS(zsseg_set_clock(NULL, fake_clock), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_set_deadline_us(NULL, 1), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_stage_times(handle, NULL), ZSSEG_E_NULL_POINTER);
    times.struct_size = 8;
    CHECK_STATUS(zsseg_stage_times(handle, &times), ZSSEG_E_STRUCT_SIZE);
    CHECK_STATUS(zsseg_stage_times(NULL, &times), ZSSEG_E_NULL_POINTER);
}

/* A clock that uses the handle which is at work, as an interrupt may. */
static zsseg_t *busy_handle;
static unsigned refusals, visits;

static uint64_t intruding_clock(void)
{
    uint32_t label = 77;
    zsseg_new_class_t added = {0};
    size_t peak = 77;
    added.struct_size = sizeof added;
    added.name = "intruder";
    visits += 1;
    refusals += zsseg_class_add_row(busy_handle, &added, NULL, 0, 0.0f, &label) ==
                ZSSEG_E_INVALID_STATE;
    refusals += zsseg_arena_peak(busy_handle, &peak) == ZSSEG_E_INVALID_STATE;
    refusals += zsseg_close(busy_handle) == ZSSEG_E_INVALID_STATE;
    return label == 77 && peak == 77 ? visits : 0;
}

void test_busy_handle(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open_all(fixture->tiny);
    struct planes whole = planes_segmented(segmenter.handle, SEED);
    busy_handle = segmenter.handle;
    refusals = visits = 0;
    CHECK_STATUS(zsseg_set_clock(busy_handle, intruding_clock), ZSSEG_OK);
    CHECK(mask_is_still(busy_handle, SEED, &whole));
    CHECK(visits > 0 && refusals == 3 * visits);
    CHECK_STATUS(zsseg_set_clock(busy_handle, NULL), ZSSEG_OK);
    CHECK(mask_is_still(busy_handle, SEED, &whole));
    planes_free(&whole);
    segmenter_close(&segmenter);
}

void test_deadline(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open_all(fixture->tiny);
    zsseg_t *handle = segmenter.handle;
    struct planes whole = planes_segmented(handle, SEED);
    struct job job;
    zsseg_times_t times = times_of(handle);
    uint32_t done = 77;

    job_open(&job);
    CHECK(times.head_ns == 0 && times.upsample_ns == 0);
    CHECK_STATUS(zsseg_set_deadline_us(handle, 5), ZSSEG_E_INVALID_STATE); /* no clock */
    CHECK_STATUS(zsseg_set_clock(handle, fake_clock), ZSSEG_OK);
    tick_ns = 100;
    CHECK(mask_is_still(handle, SEED, &whole));
    times = times_of(handle);
    CHECK(times.head_ns > 0 && times.upsample_ns > 0);
    CHECK(times.fetch_ns == 0 && times.backbone_ns == 0 && times.fusion_ns == 0);

    /* 2 us hold no frame at 100 ns a look; 5 ms do. */
    CHECK_STATUS(zsseg_set_deadline_us(handle, 2), ZSSEG_OK);
    CHECK_STATUS(zsseg_segment_features(handle, &job.features, FRAME_WIDTH, FRAME_HEIGHT,
                                        &job.output),
                 ZSSEG_E_DEADLINE_EXCEEDED);
    CHECK_STATUS(zsseg_begin(handle, &job.frame, &job.output), ZSSEG_OK);
    CHECK_STATUS(zsseg_step(handle, 1, &done), ZSSEG_OK);
    CHECK(done == 0);
    clock_ns += 5000;
    CHECK_STATUS(zsseg_step(handle, 1, &done), ZSSEG_E_DEADLINE_EXCEEDED);
    CHECK_STATUS(zsseg_step(handle, 1, &done), ZSSEG_E_INVALID_STATE);
    CHECK_STATUS(zsseg_set_deadline_us(handle, 5000), ZSSEG_OK);
    CHECK(mask_is_still(handle, SEED, &whole));
    CHECK_STATUS(zsseg_set_deadline_us(handle, UINT64_MAX), ZSSEG_OK);
    CHECK(mask_is_still(handle, SEED, &whole));
    CHECK_STATUS(zsseg_set_deadline_us(handle, 2), ZSSEG_OK);
    CHECK_STATUS(zsseg_set_deadline_us(handle, 0), ZSSEG_OK);
    CHECK(mask_is_still(handle, SEED, &whole));
    /* Without a clock there is no deadline either. */
    CHECK_STATUS(zsseg_set_deadline_us(handle, 2), ZSSEG_OK);
    CHECK_STATUS(zsseg_set_clock(handle, NULL), ZSSEG_OK);
    CHECK(mask_is_still(handle, SEED, &whole));
    CHECK_STATUS(zsseg_set_clock(handle, fake_clock), ZSSEG_OK);
    CHECK(mask_is_still(handle, SEED, &whole));
    check_clock_arguments(handle);
    job_close(&job);
    planes_free(&whole);
    segmenter_close(&segmenter);
}
