/*
 * Segments one picture with a network that stays in flash, without a heap, and prints what that
 * took. The same file is built for boards and for the host; their masks must be equal.
 */
#include "platform.h"
#include "zsseg.h"

enum { FRAME_WIDTH = 160, FRAME_HEIGHT = 120, PIXELS = FRAME_WIDTH * FRAME_HEIGHT };

/* What this example may use in all: arena, mask, stack and the rest. */
enum { RAM_LIMIT_BYTES = 256 * 1024 };

/* In flash, used where they are: see assets.S. */
extern const uint8_t bundle[], bundle_end[];
extern const uint8_t picture_nv12[];

static _Alignas(ZSSEG_ARENA_ALIGN) uint8_t arena[ARENA_BYTES];
static uint8_t labels[PIXELS];

/* No printf: newlib's asks for a heap. */
static void write_number(const char *name, uint64_t value)
{
    char digits[21];
    size_t place = sizeof digits - 1;
    digits[place] = '\0';
    do {
        place -= 1;
        digits[place] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    platform_write(name);
    platform_write(" ");
    platform_write(digits + place);
    platform_write("\n");
}

static int failed(const char *what, zsseg_status_t status, const char *why)
{
    platform_write(what);
    platform_write(": ");
    platform_write(zsseg_status_str(status));
    platform_write(" ");
    platform_write(why);
    platform_write("\n");
    return 1;
}

/* CRC-32 as in zlib and Ethernet, bit by bit: it runs once and needs no table. */
static uint32_t crc32_of(const uint8_t *data, size_t bytes)
{
    uint32_t crc = 0xffffffffu;
    size_t i;
    for (i = 0; i < bytes; i++) {
        unsigned bit;
        crc ^= data[i];
        for (bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}

static zsseg_status_t open_segmenter(zsseg_t **handle, zsseg_error_t *error)
{
    const size_t bundle_bytes = (size_t)(bundle_end - bundle);
    zsseg_limits_t limits = {0};
    size_t arena_bytes = 0;
    zsseg_status_t status;

    limits.struct_size = sizeof limits;
    limits.threads = 1;
    limits.max_frame_width = FRAME_WIDTH;
    limits.max_frame_height = FRAME_HEIGHT;
    status = zsseg_arena_size(bundle, bundle_bytes, &limits, &arena_bytes, error);
    if (status != ZSSEG_OK) {
        return status;
    }
    write_number("bundle-bytes", bundle_bytes);
    write_number("arena-needed-bytes", arena_bytes);
    write_number("arena-bytes", sizeof arena);
    return zsseg_init(bundle, bundle_bytes, &limits, arena, sizeof arena, handle, error);
}

static zsseg_status_t segment(zsseg_t *handle)
{
    zsseg_image_t image = {0};
    zsseg_output_t output = {0};

    image.struct_size = sizeof image;
    image.format = ZSSEG_FORMAT_NV12;
    image.width = FRAME_WIDTH;
    image.height = FRAME_HEIGHT;
    image.planes[0] = picture_nv12;
    image.planes[1] = picture_nv12 + PIXELS;
    image.stride_bytes[0] = FRAME_WIDTH;
    image.stride_bytes[1] = FRAME_WIDTH;
    image.plane_bytes[0] = PIXELS;
    image.plane_bytes[1] = PIXELS / 2;

    output.struct_size = sizeof output;
    output.label_type = ZSSEG_LABELS_U8;
    output.labels = labels;
    output.labels_stride_bytes = FRAME_WIDTH;
    output.labels_bytes = PIXELS;
    return zsseg_segment(handle, &image, &output);
}

/* How many pixels each class of the bundle got. */
static void write_classes(void)
{
    const size_t bundle_bytes = (size_t)(bundle_end - bundle);
    zsseg_class_t found = {0};
    uint32_t label = 0;
    found.struct_size = sizeof found;
    while (zsseg_bundle_class(bundle, bundle_bytes, label, &found, NULL) == ZSSEG_OK) {
        uint32_t count = 0;
        size_t i;
        for (i = 0; i < PIXELS; i++) {
            count += labels[i] == label;
        }
        platform_write("pixels-");
        write_number(found.name, count);
        label += 1;
    }
}

int main(void)
{
    static zsseg_error_t error;
    zsseg_t *handle = NULL;
    zsseg_status_t status;
    uint64_t start;

    error.struct_size = sizeof error;
    write_number("ram-bytes", platform_ram_bytes());
    if (platform_ram_bytes() > RAM_LIMIT_BYTES) {
        return failed("memory", ZSSEG_E_LIMIT_EXCEEDED, "more than 256 KiB of RAM");
    }
    write_number("counted-loop-instructions", platform_counted_loop());
    platform_paint_stack();
    start = platform_instructions();
    status = open_segmenter(&handle, &error);
    if (status != ZSSEG_OK) {
        return failed("init", status, error.text);
    }
    write_number("init-instructions", platform_instructions() - start);
    write_number("init-stack-bytes", platform_stack_bytes());
    platform_paint_stack();
    start = platform_instructions();
    status = segment(handle);
    if (status != ZSSEG_OK) {
        zsseg_last_error(handle, error.text, sizeof error.text);
        return failed("frame", status, error.text);
    }
    write_number("frame-instructions", platform_instructions() - start);
    write_number("frame-stack-bytes", platform_stack_bytes());
    write_classes();
    write_number("mask-crc32", crc32_of(labels, sizeof labels));
    return 0;
}
