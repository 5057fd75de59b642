/*
 * Milliseconds per frame: bench BUNDLE.zsb PICTURE.ppm [FRAMES [THREADS]]
 */
#define _POSIX_C_SOURCE 200112L

#include <time.h>

#include "opened.h"
#include "thread_pool.h"

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static const char *run(struct opened *opened, long frames)
{
    double *times_ms = malloc((size_t)frames * sizeof *times_ms);
    const char *reason = times_ms == NULL ? "no memory" : NULL;
    long frame;
    for (frame = 0; reason == NULL && frame < frames; frame++) {
        double started_ms = now_ms();
        reason = opened_reason(opened,
                               zsseg_segment(opened->handle, &opened->image, &opened->output));
        times_ms[frame] = now_ms() - started_ms;
    }
    if (reason == NULL) {
        qsort(times_ms, (size_t)frames, sizeof *times_ms, ascending);
        printf("%.2f ms median, %.2f ms least, of %ld\n", times_ms[frames / 2], times_ms[0],
               frames);
    }
    free(times_ms);
    return reason;
}

/* Lends the segmenter threads that work with this one. */
static const char *lend(struct opened *opened, struct thread_pool *threads)
{
    zsseg_thread_pool_t pool = {0};
    pool.struct_size = sizeof pool;
    pool.context = threads;
    pool.run = thread_pool_run;
    return opened_reason(opened, zsseg_set_thread_pool(opened->handle, &pool));
}

int main(int argc, char **argv)
{
    struct opened opened = {0};
    struct thread_pool pool;
    long frames = argc >= 4 ? strtol(argv[3], NULL, 10) : 20;
    long threads = argc == 5 ? strtol(argv[4], NULL, 10) : 1;
    const char *reason;
    if (argc < 3 || argc > 5 || frames < 1 || frames > 1000000 || threads < 1 || threads > 64) {
        fprintf(stderr, "usage: %s BUNDLE.zsb PICTURE.ppm [FRAMES [THREADS]]\n", argv[0]);
        return EXIT_FAILURE;
    }
    thread_pool_open(&pool, (uint32_t)threads);
    reason = opened_open(&opened, argv[1], argv[2], (uint32_t)threads);
    if (reason == NULL) {
        reason = lend(&opened, &pool);
    }
    if (reason == NULL) {
        reason = run(&opened, frames);
    }
    if (reason != NULL) {
        fprintf(stderr, "%s: %s\n", argv[0], reason);
    }
    opened_close(&opened);
    thread_pool_close(&pool);
    return reason == NULL ? EXIT_SUCCESS : EXIT_FAILURE;
}
