/* What a bundle says, and what becomes of one that is cut off or damaged. */
#include <stdlib.h>

#include "check.h"
#include "tests.h"

static void check_classes(struct bytes tiny)
{
    static const char *const NAMES[CLASSES] = {"void", "cat", "zebra"};
    static const uint32_t FLAGS[CLASSES] = {ZSSEG_CLASS_SEEN | ZSSEG_CLASS_BACKGROUND,
                                            ZSSEG_CLASS_SEEN, 0};
    zsseg_class_t found, before;
    uint32_t index;
    for (index = 0; index < CLASSES; index++) {
        memset(&found, 0, sizeof found);
        found.struct_size = sizeof found;
        CHECK_STATUS(zsseg_bundle_class(tiny.data, tiny.len, index, &found, NULL), ZSSEG_OK);
        CHECK(found.struct_size == sizeof found);
        CHECK(strcmp(found.name, NAMES[index]) == 0);
        CHECK(found.flags == FLAGS[index]);
        CHECK(found.color[3] == 0);
    }
    CHECK(found.bias < -0.4f && found.bias > -0.6f);
    before = found;
    CHECK_STATUS(zsseg_bundle_class(tiny.data, tiny.len, CLASSES, &found, NULL),
                 ZSSEG_E_INVALID_ARGUMENT);
    CHECK_STATUS(zsseg_bundle_class(tiny.data, tiny.len, UINT32_MAX, &found, NULL),
                 ZSSEG_E_INVALID_ARGUMENT);
    CHECK(memcmp(&before, &found, sizeof found) == 0);
}

void test_bundle_info(const struct fixture *fixture)
{
    struct bytes tiny = fixture->tiny;
    zsseg_bundle_info_t info;
    zsseg_error_t error = {sizeof error, -1, "old"};

    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    CHECK_STATUS(zsseg_bundle_verify(tiny.data, tiny.len, &error), ZSSEG_OK);
    CHECK(error.status == ZSSEG_OK && error.text[0] == '\0');
    CHECK_STATUS(zsseg_bundle_info(tiny.data, tiny.len, &info, &error), ZSSEG_OK);
    CHECK(info.struct_size == sizeof info);
    CHECK(strcmp(info.model_name, "tiny") == 0);
    CHECK(strcmp(info.license, "CC0-1.0") == 0);
    CHECK(info.model_card_bytes > 6 && memcmp(info.model_card, "# tiny", 6) == 0);
    CHECK(info.backbone == ZSSEG_BACKBONE_EXTERNAL);
    CHECK(info.input_width == 40 && info.input_height == 24);
    CHECK(info.grid_width == GRID_WIDTH && info.grid_height == GRID_HEIGHT);
    CHECK(info.channels == CHANNELS && info.class_count == CLASSES);
    CHECK(info.output_layout == ZSSEG_LAYOUT_HWC && info.has_classifier == 1);
    CHECK(!bytes_are(info.sha256, sizeof info.sha256, 0));
    check_classes(tiny);
}

/* Hands `damaged` to every function that takes a bundle; none may accept it as whole. */
static void check_refused(struct bytes damaged, struct bytes arena)
{
    zsseg_limits_t limits = limits_for(FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_error_t error = {sizeof error, 0, ""};
    zsseg_bundle_info_t info;
    zsseg_class_t class_info;
    zsseg_t *handle = NULL;
    size_t need = 0;
    zsseg_status_t status = zsseg_bundle_verify(damaged.data, damaged.len, &error);

    CHECK(status != ZSSEG_OK && status != ZSSEG_E_PANIC);
    CHECK(error.status == status);
    CHECK(strlen(error.text) > 0);
    status = zsseg_init(damaged.data, damaged.len, &limits, arena.data, arena.len, &handle, NULL);
    CHECK(status != ZSSEG_OK && status != ZSSEG_E_PANIC);
    CHECK(handle == NULL);

    /* These compare no checksums of sections, so some damage passes; it must not crash. */
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    CHECK(zsseg_bundle_info(damaged.data, damaged.len, &info, NULL) != ZSSEG_E_PANIC);
    memset(&class_info, 0, sizeof class_info);
    class_info.struct_size = sizeof class_info;
    CHECK(zsseg_bundle_class(damaged.data, damaged.len, 1, &class_info, NULL) != ZSSEG_E_PANIC);
    CHECK(zsseg_arena_size(damaged.data, damaged.len, &limits, &need, NULL) != ZSSEG_E_PANIC);
}

void test_bundle_damage(const struct fixture *fixture)
{
    struct bytes tiny = fixture->tiny;
    struct bytes arena = bytes_aligned(1 << 16);
    struct bytes damaged;
    size_t at;

    for (at = 0; at < tiny.len; at++) {
        damaged = bytes_copy(tiny, at);
        if (damaged.data != NULL) {
            check_refused(damaged, arena);
        }
        bytes_free(&damaged);

        damaged = bytes_copy(tiny, tiny.len);
        damaged.data[at] = (uint8_t)(damaged.data[at] ^ (1u << at % 8));
        check_refused(damaged, arena);
        bytes_free(&damaged);
    }
    damaged = bytes_new(tiny.len + 1);
    memcpy(damaged.data, tiny.data, tiny.len);
    damaged.data[tiny.len] = 0;
    check_refused(damaged, arena);
    CHECK_STATUS(zsseg_bundle_verify(tiny.data, 0, NULL), ZSSEG_E_BUNDLE_FORMAT);
    CHECK_STATUS(zsseg_bundle_verify(tiny.data, SIZE_MAX, NULL), ZSSEG_E_LIMIT_EXCEEDED);
    bytes_free(&damaged);
    bytes_free(&arena);
}

void test_network_damage(const struct fixture *fixture)
{
    struct bytes bundle = fixture->network;
    struct bytes arena = bytes_aligned(1 << 16);
    size_t step = bundle.len / 5 + 1, at;

    for (at = step / 2; at < bundle.len; at += step) {
        struct bytes damaged = bytes_copy(bundle, at);
        check_refused(damaged, arena);
        bytes_free(&damaged);

        damaged = bytes_copy(bundle, bundle.len);
        damaged.data[at] = (uint8_t)(damaged.data[at] ^ 0x10);
        check_refused(damaged, arena);
        bytes_free(&damaged);
    }
    bytes_free(&arena);
}
