/* Whole frames through a bundle with a network. */
#include <stdlib.h>

#include "check.h"
#include "tests.h"

/* Segments the picture's pixels once more from their own features. */
static void check_features_again(struct segmenter *segmenter, const struct planes *wanted,
                                 uint32_t width, uint32_t height)
{
    struct planes planes = planes_new(width, height);
    zsseg_output_t output = output_of(&planes, width);
    zsseg_features_t features;
    memset(&features, 0, sizeof features);
    features.struct_size = sizeof features;
    CHECK_STATUS(zsseg_features(segmenter->handle, &features), ZSSEG_OK);
    CHECK(features.len ==
          (size_t)features.grid_height * features.grid_width * features.channels);
    CHECK_STATUS(zsseg_segment_features(segmenter->handle, &features, width, height, &output),
                 ZSSEG_OK);
    CHECK(planes_equal(&planes, wanted));
    planes_free(&planes);
}

void test_network_masks(const struct fixture *fixture)
{
    uint32_t width = fixture->picture_width, height = fixture->picture_height;
    struct bytes bundle = fixture->network;
    struct segmenter segmenter = segmenter_open(bundle, width, height);
    zsseg_image_t image = image_rgb8(fixture->picture.data, width, height);
    struct planes first = planes_new(width, height), second = planes_new(width, height);
    zsseg_output_t output = output_of(&first, width);
    zsseg_bundle_info_t info;
    zsseg_features_t features;
    size_t i, outside = 0;

    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    CHECK((zsseg_capabilities() & ZSSEG_CAPABILITY_TRACT) != 0);
    CHECK_STATUS(zsseg_bundle_verify(bundle.data, bundle.len, NULL), ZSSEG_OK);
    CHECK_STATUS(zsseg_bundle_info(bundle.data, bundle.len, &info, NULL), ZSSEG_OK);
    CHECK(info.backbone == ZSSEG_BACKBONE_PLAN || info.backbone == ZSSEG_BACKBONE_ONNX);
    memset(&features, 0, sizeof features);
    features.struct_size = sizeof features;
    CHECK_STATUS(zsseg_features(segmenter.handle, &features), ZSSEG_E_INVALID_STATE);

    CHECK_STATUS(zsseg_segment(segmenter.handle, &image, &output), ZSSEG_OK);
    for (i = 0; i < first.labels.len; i++) {
        outside += first.labels.data[i] >= info.class_count &&
                   first.labels.data[i] != ZSSEG_UNLABELED_U8;
    }
    CHECK(outside == 0);
    output = output_of(&second, width);
    CHECK_STATUS(zsseg_segment(segmenter.handle, &image, &output), ZSSEG_OK);
    CHECK(planes_equal(&first, &second));
    check_features_again(&segmenter, &first, width, height);

    planes_free(&first);
    planes_free(&second);
    segmenter_close(&segmenter);
}

/* The picture as 4 bytes a pixel, red first or blue first, with padding between rows. */
static struct bytes with_alpha(const struct fixture *fixture, size_t stride, int blue_first)
{
    struct bytes pixels = bytes_new(stride * fixture->picture_height);
    size_t x, y;
    bytes_fill(pixels, PATTERN);
    for (y = 0; y < fixture->picture_height; y++) {
        for (x = 0; x < fixture->picture_width; x++) {
            const uint8_t *from = fixture->picture.data + 3 * (y * fixture->picture_width + x);
            uint8_t *to = pixels.data + y * stride + 4 * x;
            to[0] = from[blue_first ? 2 : 0];
            to[1] = from[1];
            to[2] = from[blue_first ? 0 : 2];
        }
    }
    return pixels;
}

void test_network_formats(const struct fixture *fixture)
{
    uint32_t width = fixture->picture_width, height = fixture->picture_height;
    struct segmenter segmenter = segmenter_open(fixture->network, width, height);
    zsseg_image_t image = image_rgb8(fixture->picture.data, width, height);
    struct planes wanted = planes_new(width, height);
    zsseg_output_t output = output_of(&wanted, width);
    size_t stride = (size_t)width * 4 + 28;
    int blue_first;

    CHECK_STATUS(zsseg_segment(segmenter.handle, &image, &output), ZSSEG_OK);
    for (blue_first = 0; blue_first < 2; blue_first++) {
        struct bytes pixels = with_alpha(fixture, stride, blue_first);
        struct planes planes = planes_new(width, height);
        output = output_of(&planes, width);
        image.format = blue_first ? ZSSEG_FORMAT_BGRA8 : ZSSEG_FORMAT_RGBA8;
        image.planes[0] = pixels.data;
        image.stride_bytes[0] = stride;
        image.plane_bytes[0] = pixels.len - 28; /* the last row needs no padding */
        CHECK_STATUS(zsseg_segment(segmenter.handle, &image, &output), ZSSEG_OK);
        CHECK(planes_equal(&planes, &wanted));
        planes_free(&planes);
        bytes_free(&pixels);
    }
    planes_free(&wanted);
    segmenter_close(&segmenter);
}
