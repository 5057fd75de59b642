/*
 * Runs the tests of the C API:
 * zsseg_c_tests TINY.zsb WORDS.zsb COSINE.zsb [NETWORK.zsb PICTURE.ppm]
 *
 * The first three are what examples/write_tiny_bundle.rs writes. Tests that need a network are
 * skipped without the fourth.
 */
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "ppm.h"
#include "support.h"
#include "tests.h"

unsigned long checks_made = 0;
unsigned long checks_failed = 0;

static const struct {
    const char *name;
    void (*run)(const struct fixture *fixture);
    int needs_network;
} TESTS[] = {
    {"life cycle", test_lifecycle, 0},
    {"bundle info", test_bundle_info, 0},
    {"bundle damage", test_bundle_damage, 0},
    {"null pointers", test_null, 0},
    {"struct sizes", test_struct_size, 0},
    {"limits", test_limits, 0},
    {"arena size", test_arena_size, 0},
    {"arena canaries", test_arena_canaries, 0},
    {"frames", test_frames, 0},
    {"outputs", test_outputs, 0},
    {"features", test_features, 0},
    {"overlap", test_overlap, 0},
    {"error texts", test_error_text, 0},
    {"closed handles", test_closed, 0},
    {"two threads", test_threads, 0},
    {"thread pool: arguments", test_thread_pool_arguments, 0},
    {"thread pool: masks", test_mask_pool, 0},
    {"older structs", test_older_structs, 0},
    {"what a bundle is open to", test_ways, 0},
    {"cost of a class", test_class_cost, 0},
    {"classes: added", test_class_added, 0},
    {"classes: changed", test_class_changed, 0},
    {"classes: generator", test_class_generator, 0},
    {"classes: full table", test_class_table_full, 0},
    {"classes: names", test_class_names, 0},
    {"classes: numbers", test_class_numbers, 0},
    {"classes: words", test_class_words, 0},
    {"classes: cosine head", test_class_cosine, 0},
    {"classes: arguments", test_class_arguments, 0},
    {"classes: two threads", test_class_threads, 0},
    {"decision", test_decision, 0},
    {"decision: ranges", test_decision_ranges, 0},
    {"smoothing", test_smoothing, 0},
    {"fusion", test_fusion, 0},
    {"steps", test_steps, 0},
    {"steps: arguments", test_steps_arguments, 0},
    {"steps: affinity", test_steps_affinity, 0},
    {"cancel", test_cancel, 0},
    {"cancel from another thread", test_cancel_thread, 0},
    {"deadline and times", test_deadline, 0},
    {"a handle at work", test_busy_handle, 0},
    {"object mask", test_object, 0},
    {"object mask: arguments", test_object_arguments, 0},
    {"network: masks", test_network_masks, 1},
    {"network: formats", test_network_formats, 1},
    {"network: arena canaries", test_network_canaries, 1},
    {"network: damage", test_network_damage, 1},
    {"network: two threads", test_network_threads, 1},
    {"network: thread pool", test_thread_pool, 1},
};

static int load(struct fixture *fixture, int argc, char **argv)
{
    if (argc != 4 && argc != 6) {
        fprintf(stderr, "usage: %s TINY.zsb WORDS.zsb COSINE.zsb [NETWORK.zsb PICTURE.ppm]\n",
                argv[0]);
        return 0;
    }
    fixture->tiny = bytes_read(argv[1]);
    fixture->words = bytes_read(argv[2]);
    fixture->cosine = bytes_read(argv[3]);
    if (argc == 6) {
        struct ppm picture;
        const char *reason = ppm_read(argv[5], &picture);
        if (reason != NULL) {
            fprintf(stderr, "%s: %s\n", argv[5], reason);
            return 0;
        }
        fixture->network = bytes_read(argv[4]);
        fixture->picture.data = picture.pixels;
        fixture->picture.len = (size_t)picture.width * picture.height * 3;
        fixture->picture_width = picture.width;
        fixture->picture_height = picture.height;
    }
    return 1;
}

int main(int argc, char **argv)
{
    struct fixture fixture = {{NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}, 0, 0};
    unsigned passed = 0, failed = 0, skipped = 0;
    size_t i;
    if (!load(&fixture, argc, argv)) {
        return 2;
    }
    for (i = 0; i < sizeof TESTS / sizeof TESTS[0]; i++) {
        unsigned long before = checks_failed;
        if (TESTS[i].needs_network && fixture.network.len == 0) {
            skipped += 1;
            continue;
        }
        TESTS[i].run(&fixture);
        if (checks_failed == before) {
            passed += 1;
        } else {
            failed += 1;
            fprintf(stderr, "FAILED: %s\n", TESTS[i].name);
        }
    }
    bytes_free(&fixture.tiny);
    bytes_free(&fixture.words);
    bytes_free(&fixture.cosine);
    bytes_free(&fixture.network);
    bytes_free(&fixture.picture);
    printf("tests: %u passed, %u failed, %u skipped (%lu checks)\n", passed, failed, skipped,
           checks_made);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
