/*
 * Prints what a bundle says about itself: list_classes BUNDLE.zsb
 *
 * Nothing is loaded or run; this works on a device without memory for the network.
 */
#include <stdio.h>
#include <stdlib.h>

#include "file.h"
#include "zsseg.h"

static zsseg_status_t print_model(const void *bundle, size_t bytes, uint32_t *classes,
                                  zsseg_error_t *error)
{
    zsseg_bundle_info_t info = {0};
    zsseg_status_t status;
    info.struct_size = sizeof info;
    status = zsseg_bundle_info(bundle, bytes, &info, error);
    if (status == ZSSEG_OK) {
        printf("model    %s\n", info.model_name);
        printf("licence  %s\n", info.license);
        printf("network  %s, input %ux%u\n",
               info.backbone != ZSSEG_BACKBONE_EXTERNAL ? "inside" : "outside (features come in)",
               (unsigned)info.input_width, (unsigned)info.input_height);
        printf("words    %u\n", (unsigned)info.word_count);
        *classes = info.class_count;
    }
    return status;
}

static zsseg_status_t print_class(const void *bundle, size_t bytes, uint32_t index,
                                  zsseg_error_t *error)
{
    zsseg_class_t found = {0};
    zsseg_status_t status;
    found.struct_size = sizeof found;
    status = zsseg_bundle_class(bundle, bytes, index, &found, error);
    if (status == ZSSEG_OK) {
        printf("%5u  #%02x%02x%02x  %-7s  %s\n", (unsigned)index, (unsigned)found.color[0],
               (unsigned)found.color[1], (unsigned)found.color[2],
               (found.flags & ZSSEG_CLASS_SEEN) != 0 ? "seen" : "unseen", found.name);
    }
    return status;
}

static zsseg_status_t print_all(const void *bundle, size_t bytes, zsseg_error_t *error)
{
    uint32_t classes = 0, index;
    zsseg_status_t status = zsseg_bundle_verify(bundle, bytes, error);
    if (status == ZSSEG_OK) {
        status = print_model(bundle, bytes, &classes, error);
    }
    for (index = 0; status == ZSSEG_OK && index < classes; index++) {
        status = print_class(bundle, bytes, index, error);
    }
    return status;
}

int main(int argc, char **argv)
{
    zsseg_error_t error = {sizeof error, ZSSEG_OK, ""};
    zsseg_status_t status;
    size_t bytes;
    void *bundle;

    if (argc != 2) {
        fprintf(stderr, "usage: %s BUNDLE.zsb\n", argv[0]);
        return EXIT_FAILURE;
    }
    bundle = file_read(argv[1], &bytes);
    if (bundle == NULL) {
        fprintf(stderr, "%s: cannot be read\n", argv[1]);
        return EXIT_FAILURE;
    }
    status = print_all(bundle, bytes, &error);
    if (status != ZSSEG_OK) {
        fprintf(stderr, "%s: %s\n", argv[1], error.text);
    }
    free(bundle);
    return status == ZSSEG_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
