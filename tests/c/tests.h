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
void test_thread_pool(const struct fixture *fixture);
void test_mask_pool(const struct fixture *fixture);
void test_thread_pool_arguments(const struct fixture *fixture);

/* test_versions.c */
void test_older_structs(const struct fixture *fixture);

/* test_classes.c */
void test_ways(const struct fixture *fixture);
void test_class_cost(const struct fixture *fixture);
void test_class_added(const struct fixture *fixture);
void test_class_changed(const struct fixture *fixture);
void test_class_generator(const struct fixture *fixture);
void test_class_table_full(const struct fixture *fixture);
void test_class_threads(const struct fixture *fixture);

/* test_class_input.c */
void test_class_names(const struct fixture *fixture);
void test_class_numbers(const struct fixture *fixture);
void test_class_words(const struct fixture *fixture);
void test_class_cosine(const struct fixture *fixture);
void test_class_arguments(const struct fixture *fixture);

/* test_decision.c */
void test_decision(const struct fixture *fixture);
void test_decision_ranges(const struct fixture *fixture);
void test_smoothing(const struct fixture *fixture);
void test_fusion(const struct fixture *fixture);

/* test_steps.c */
void test_steps(const struct fixture *fixture);
void test_steps_arguments(const struct fixture *fixture);
void test_steps_affinity(const struct fixture *fixture);
void test_cancel(const struct fixture *fixture);
void test_cancel_thread(const struct fixture *fixture);
void test_deadline(const struct fixture *fixture);
void test_busy_handle(const struct fixture *fixture);

/* test_object.c */
void test_object(const struct fixture *fixture);
void test_object_arguments(const struct fixture *fixture);

/* test_network.c */
void test_network_masks(const struct fixture *fixture);
void test_network_formats(const struct fixture *fixture);

#endif
