/*
 * Milliseconds per frame: bench BUNDLE.zsb PICTURE.ppm [FRAMES]
 */
#define _POSIX_C_SOURCE 199309L

#include <time.h>

#include "opened.h"

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

int main(int argc, char **argv)
{
    struct opened opened = {0};
    long frames = argc == 4 ? strtol(argv[3], NULL, 10) : 20;
    const char *reason;
    if (argc < 3 || argc > 4 || frames < 1 || frames > 1000000) {
        fprintf(stderr, "usage: %s BUNDLE.zsb PICTURE.ppm [FRAMES]\n", argv[0]);
        return EXIT_FAILURE;
    }
    reason = opened_open(&opened, argv[1], argv[2]);
    if (reason == NULL) {
        reason = run(&opened, frames);
    }
    if (reason != NULL) {
        fprintf(stderr, "%s: %s\n", argv[0], reason);
    }
    opened_close(&opened);
    return reason == NULL ? EXIT_SUCCESS : EXIT_FAILURE;
}
