/* tests.h: every test, by the file it is in. */
#ifndef TESTS_H
#define TESTS_H

#include "support.h"

/* test_lifecycle.c */
void test_lifecycle(const struct fixture *fixture);
void test_closed(const struct fixture *fixture);
void test_error_text(const struct fixture *fixture);

/* test_bundle.c */
void test_bundle_info(const struct fixture *fixture);
void test_bundle_damage(const struct fixture *fixture);
void test_network_damage(const struct fixture *fixture);

/* test_arguments.c */
void test_null(const struct fixture *fixture);
void test_struct_size(const struct fixture *fixture);
void test_limits(const struct fixture *fixture);

/* test_arena.c */
void test_arena_size(const struct fixture *fixture);
void test_arena_canaries(const struct fixture *fixture);
void test_network_canaries(const struct fixture *fixture);

/* test_buffers.c */
void test_frames(const struct fixture *fixture);
void test_outputs(const struct fixture *fixture);
void test_features(const struct fixture *fixture);
void test_overlap(const struct fixture *fixture);

/* test_threads.c */
void test_threads(const struct fixture *fixture);
void test_network_threads(const struct fixture *fixture);

/* test_network.c */
void test_network_masks(const struct fixture *fixture);
void test_network_formats(const struct fixture *fixture);

#endif
