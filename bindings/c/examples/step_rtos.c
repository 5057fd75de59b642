/*
 * Segments a picture in slices, as a task that must not stay away long:
 * step_rtos BUNDLE.zsb PICTURE.ppm
 *
 * Prints how many slices there were and the longest, and compares the mask with that of one call.
 */
#define _POSIX_C_SOURCE 199309L

#include <string.h>
#include <time.h>

#include "opened.h"

#define PIECES 8u

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* All slices of the picture. */
static zsseg_status_t step_all(struct opened *opened, unsigned *slices, double *longest_us)
{
    zsseg_frame_t frame = {0};
    uint32_t done = 0;
    zsseg_status_t status;
    frame.struct_size = sizeof frame;
    frame.image = &opened->image;
    status = zsseg_begin(opened->handle, &frame, &opened->output);
    while (status == ZSSEG_OK && done == 0) {
        double started_us = now_us(), spent_us;
        status = zsseg_step(opened->handle, PIECES, &done);
        /* Here other tasks would have their turn. */
        spent_us = now_us() - started_us;
        *longest_us = spent_us > *longest_us ? spent_us : *longest_us;
        *slices += 1;
    }
    return status;
}

static const char *run(struct opened *opened)
{
    size_t pixels = (size_t)opened->picture.width * opened->picture.height;
    uint8_t *whole = malloc(pixels);
    unsigned slices = 0;
    double longest_us = 0.0;
    const char *reason = whole == NULL ? "no memory" : NULL;
    if (reason == NULL) {
        reason = opened_reason(opened,
                               zsseg_segment(opened->handle, &opened->image, &opened->output));
    }
    if (reason == NULL) {
        memcpy(whole, opened->labels, pixels);
        memset(opened->labels, 0, pixels);
        reason = opened_reason(opened, step_all(opened, &slices, &longest_us));
    }
    if (reason == NULL) {
        printf("%u slices of %u pieces, longest %.0f us\n", slices, PIECES, longest_us);
        reason = memcmp(whole, opened->labels, pixels) == 0 ? NULL : "another mask in slices";
    }
    if (reason == NULL) {
        printf("the same mask as in one call\n");
    }
    free(whole);
    return reason;
}

int main(int argc, char **argv)
{
    struct opened opened = {0};
    const char *reason;
    if (argc != 3) {
        fprintf(stderr, "usage: %s BUNDLE.zsb PICTURE.ppm\n", argv[0]);
        return EXIT_FAILURE;
    }
    reason = opened_open(&opened, argv[1], argv[2], 1);
    if (reason == NULL) {
        reason = run(&opened);
    }
    if (reason != NULL) {
        fprintf(stderr, "%s: %s\n", argv[0], reason);
    }
    opened_close(&opened);
    return reason == NULL ? EXIT_SUCCESS : EXIT_FAILURE;
}
