/*
 * The layout of every struct, checked by the compiler. Valid as C99, C11 and C++11, and on 32-bit
 * targets; nothing here runs. A change of a number here is a change of the ABI.
 */
#include "zsseg.h"

#if defined(__cplusplus)
#define HOLDS(name, condition) static_assert(condition, #name)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define HOLDS(name, condition) _Static_assert(condition, #name)
#else
#define HOLDS(name, condition) typedef char holds_##name[(condition) ? 1 : -1]
#endif

/* The number for 64-bit pointers and the one for 32-bit pointers. */
#define PICK(wide, narrow) (sizeof(void *) == 8 ? (wide) : (narrow))

#define SIZE(type, wide, narrow) HOLDS(type, sizeof(type) == PICK(wide, narrow))
#define OFFSET(type, field, wide, narrow) \
    HOLDS(type##_##field, offsetof(type, field) == PICK(wide, narrow))

HOLDS(pointer, sizeof(void *) == 8 || sizeof(void *) == 4);
HOLDS(size, sizeof(size_t) == sizeof(void *));
HOLDS(float32, sizeof(float) == 4);
HOLDS(status, sizeof(zsseg_status_t) == 4);

SIZE(zsseg_error_t, 512, 512);
OFFSET(zsseg_error_t, struct_size, 0, 0);
OFFSET(zsseg_error_t, status, 4, 4);
OFFSET(zsseg_error_t, text, 8, 8);

SIZE(zsseg_limits_t, 36, 36);
OFFSET(zsseg_limits_t, struct_size, 0, 0);
OFFSET(zsseg_limits_t, max_frame_width, 4, 4);
OFFSET(zsseg_limits_t, max_frame_height, 8, 8);
OFFSET(zsseg_limits_t, threads, 12, 12);
OFFSET(zsseg_limits_t, extra_classes, 16, 16);
OFFSET(zsseg_limits_t, uses, 20, 20);
OFFSET(zsseg_limits_t, affinity_height, 24, 24);
OFFSET(zsseg_limits_t, affinity_width, 28, 28);
OFFSET(zsseg_limits_t, affinity_channels, 32, 32);

SIZE(zsseg_bundle_info_t, 120, 104);
OFFSET(zsseg_bundle_info_t, struct_size, 0, 0);
OFFSET(zsseg_bundle_info_t, class_count, 4, 4);
OFFSET(zsseg_bundle_info_t, model_name, 8, 8);
OFFSET(zsseg_bundle_info_t, license, 16, 12);
OFFSET(zsseg_bundle_info_t, model_card, 24, 16);
OFFSET(zsseg_bundle_info_t, model_card_bytes, 32, 20);
OFFSET(zsseg_bundle_info_t, backbone, 40, 24);
OFFSET(zsseg_bundle_info_t, input_width, 44, 28);
OFFSET(zsseg_bundle_info_t, input_height, 48, 32);
OFFSET(zsseg_bundle_info_t, grid_width, 52, 36);
OFFSET(zsseg_bundle_info_t, grid_height, 56, 40);
OFFSET(zsseg_bundle_info_t, channels, 60, 44);
OFFSET(zsseg_bundle_info_t, output_layout, 64, 48);
OFFSET(zsseg_bundle_info_t, has_classifier, 68, 52);
OFFSET(zsseg_bundle_info_t, sha256, 72, 56);
OFFSET(zsseg_bundle_info_t, head, 104, 88);
OFFSET(zsseg_bundle_info_t, ways, 108, 92);
OFFSET(zsseg_bundle_info_t, embedding_dim, 112, 96);
OFFSET(zsseg_bundle_info_t, word_count, 116, 100);

SIZE(zsseg_class_t, 40, 36);
OFFSET(zsseg_class_t, struct_size, 0, 0);
OFFSET(zsseg_class_t, flags, 4, 4);
OFFSET(zsseg_class_t, name, 8, 8);
OFFSET(zsseg_class_t, color, 16, 12);
OFFSET(zsseg_class_t, bias, 20, 16);
OFFSET(zsseg_class_t, prior, 24, 20);
OFFSET(zsseg_class_t, origin, 28, 24);
OFFSET(zsseg_class_t, label, 32, 28);
OFFSET(zsseg_class_t, reserved, 36, 32);

SIZE(zsseg_image_t, 96, 60);
OFFSET(zsseg_image_t, struct_size, 0, 0);
OFFSET(zsseg_image_t, format, 4, 4);
OFFSET(zsseg_image_t, width, 8, 8);
OFFSET(zsseg_image_t, height, 12, 12);
OFFSET(zsseg_image_t, planes, 16, 16);
OFFSET(zsseg_image_t, stride_bytes, 40, 28);
OFFSET(zsseg_image_t, plane_bytes, 64, 40);
OFFSET(zsseg_image_t, color_matrix, 88, 52);
OFFSET(zsseg_image_t, color_range, 92, 56);

SIZE(zsseg_output_t, 104, 56);
OFFSET(zsseg_output_t, struct_size, 0, 0);
OFFSET(zsseg_output_t, label_type, 4, 4);
OFFSET(zsseg_output_t, labels, 8, 8);
OFFSET(zsseg_output_t, labels_stride_bytes, 16, 12);
OFFSET(zsseg_output_t, labels_bytes, 24, 16);
OFFSET(zsseg_output_t, confidence, 32, 20);
OFFSET(zsseg_output_t, confidence_stride_bytes, 40, 24);
OFFSET(zsseg_output_t, confidence_bytes, 48, 28);
OFFSET(zsseg_output_t, margin, 56, 32);
OFFSET(zsseg_output_t, margin_stride_bytes, 64, 36);
OFFSET(zsseg_output_t, margin_bytes, 72, 40);
OFFSET(zsseg_output_t, unknown, 80, 44);
OFFSET(zsseg_output_t, unknown_stride_bytes, 88, 48);
OFFSET(zsseg_output_t, unknown_bytes, 96, 52);

SIZE(zsseg_features_t, 40, 32);
OFFSET(zsseg_features_t, struct_size, 0, 0);
OFFSET(zsseg_features_t, layout, 4, 4);
OFFSET(zsseg_features_t, data, 8, 8);
OFFSET(zsseg_features_t, len, 16, 12);
OFFSET(zsseg_features_t, grid_height, 24, 16);
OFFSET(zsseg_features_t, grid_width, 28, 20);
OFFSET(zsseg_features_t, channels, 32, 24);
OFFSET(zsseg_features_t, reserved, 36, 28);

SIZE(zsseg_new_class_t, 32, 28);
OFFSET(zsseg_new_class_t, struct_size, 0, 0);
OFFSET(zsseg_new_class_t, flags, 4, 4);
OFFSET(zsseg_new_class_t, name, 8, 8);
OFFSET(zsseg_new_class_t, label, 16, 12);
OFFSET(zsseg_new_class_t, color, 20, 16);
OFFSET(zsseg_new_class_t, bias, 24, 20);
OFFSET(zsseg_new_class_t, reserved, 28, 24);

SIZE(zsseg_class_cost_t, 40, 40);
OFFSET(zsseg_class_cost_t, struct_size, 0, 0);
OFFSET(zsseg_class_cost_t, reserved, 4, 4);
OFFSET(zsseg_class_cost_t, bytes, 8, 8);
OFFSET(zsseg_class_cost_t, grid_multiply_adds, 16, 16);
OFFSET(zsseg_class_cost_t, meaning_multiply_adds, 24, 24);
OFFSET(zsseg_class_cost_t, generator_multiply_adds, 32, 32);

SIZE(zsseg_decision_t, 32, 32);
OFFSET(zsseg_decision_t, struct_size, 0, 0);
OFFSET(zsseg_decision_t, stacking, 4, 4);
OFFSET(zsseg_decision_t, gamma, 8, 8);
OFFSET(zsseg_decision_t, min_confidence, 12, 12);
OFFSET(zsseg_decision_t, min_margin, 16, 16);
OFFSET(zsseg_decision_t, unknown, 20, 20);
OFFSET(zsseg_decision_t, reference, 24, 24);
OFFSET(zsseg_decision_t, max_unknown, 28, 28);

SIZE(zsseg_frame_t, 40, 28);
OFFSET(zsseg_frame_t, struct_size, 0, 0);
OFFSET(zsseg_frame_t, width, 4, 4);
OFFSET(zsseg_frame_t, height, 8, 8);
OFFSET(zsseg_frame_t, reserved, 12, 12);
OFFSET(zsseg_frame_t, image, 16, 16);
OFFSET(zsseg_frame_t, features, 24, 20);
OFFSET(zsseg_frame_t, affinity, 32, 24);

SIZE(zsseg_fusion_t, 16, 16);
OFFSET(zsseg_fusion_t, struct_size, 0, 0);
OFFSET(zsseg_fusion_t, mode, 4, 4);
OFFSET(zsseg_fusion_t, parameter, 8, 8);
OFFSET(zsseg_fusion_t, segments, 12, 12);

SIZE(zsseg_thread_pool_t, 24, 16);
OFFSET(zsseg_thread_pool_t, struct_size, 0, 0);
OFFSET(zsseg_thread_pool_t, reserved, 4, 4);
OFFSET(zsseg_thread_pool_t, context, 8, 8);
OFFSET(zsseg_thread_pool_t, run, 16, 12);

SIZE(zsseg_times_t, 48, 48);
OFFSET(zsseg_times_t, struct_size, 0, 0);
OFFSET(zsseg_times_t, reserved, 4, 4);
OFFSET(zsseg_times_t, fetch_ns, 8, 8);
OFFSET(zsseg_times_t, backbone_ns, 16, 16);
OFFSET(zsseg_times_t, head_ns, 24, 24);
OFFSET(zsseg_times_t, fusion_ns, 32, 32);
OFFSET(zsseg_times_t, upsample_ns, 40, 40);

SIZE(zsseg_object_settings_t, 36, 36);
OFFSET(zsseg_object_settings_t, struct_size, 0, 0);
OFFSET(zsseg_object_settings_t, grid_height, 4, 4);
OFFSET(zsseg_object_settings_t, grid_width, 8, 8);
OFFSET(zsseg_object_settings_t, channels, 12, 12);
OFFSET(zsseg_object_settings_t, heads, 16, 16);
OFFSET(zsseg_object_settings_t, scoring_heads, 20, 20);
OFFSET(zsseg_object_settings_t, mass, 24, 24);
OFFSET(zsseg_object_settings_t, candidates, 28, 28);
OFFSET(zsseg_object_settings_t, scoring, 32, 32);

SIZE(zsseg_object_t, 16, 16);
OFFSET(zsseg_object_t, struct_size, 0, 0);
OFFSET(zsseg_object_t, source, 4, 4);
OFFSET(zsseg_object_t, area, 8, 8);
OFFSET(zsseg_object_t, fallback, 12, 12);
