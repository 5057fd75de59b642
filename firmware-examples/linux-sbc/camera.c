/* Frames of a V4L2 camera, read where the driver put them: mmap streaming, no copy. */
#include "source.h"
#include "zsseg.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BUFFERS = 3 };

struct camera {
    int file;
    unsigned mapped;
    struct {
        void *start;
        size_t bytes;
    } buffers[BUFFERS];
    int lent; /* index of the buffer that the caller reads, or -1 */
};

/* An ioctl that signals do not end. */
static int request(int file, unsigned long number, void *argument)
{
    int result;
    do {
        result = ioctl(file, number, argument);
    } while (result == -1 && errno == EINTR);
    return result;
}

static int give(struct camera *camera, uint32_t index)
{
    struct v4l2_buffer buffer = {0};
    buffer.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    buffer.memory = V4L2_MEMORY_MMAP;
    buffer.index = index;
    return request(camera->file, VIDIOC_QBUF, &buffer);
}

static int next(struct source *source, struct frame *frame)
{
    struct camera *camera = source->state;
    struct v4l2_buffer buffer = {0};
    if (camera->lent >= 0 && give(camera, (uint32_t)camera->lent) == -1) {
        return -1;
    }
    camera->lent = -1;
    buffer.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    buffer.memory = V4L2_MEMORY_MMAP;
    if (request(camera->file, VIDIOC_DQBUF, &buffer) == -1) {
        return -1;
    }
    if (buffer.index >= camera->mapped || buffer.bytesused > camera->buffers[buffer.index].bytes) {
        errno = EPROTO;
        return -1;
    }
    camera->lent = (int)buffer.index;
    frame->data = camera->buffers[buffer.index].start;
    frame->bytes = buffer.bytesused;
    return 1;
}

static void close_camera(struct source *source)
{
    struct camera *camera = source->state;
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    unsigned i;
    request(camera->file, VIDIOC_STREAMOFF, &type);
    for (i = 0; i < camera->mapped; i++) {
        munmap(camera->buffers[i].start, camera->buffers[i].bytes);
    }
    close(camera->file);
    free(camera);
    source->state = NULL;
}

/* NV12 if the camera has it, else YUYV. */
static const char *agree(struct source *source, int file)
{
    static const uint32_t pixels[2] = {V4L2_PIX_FMT_NV12, V4L2_PIX_FMT_YUYV};
    static const uint32_t formats[2] = {ZSSEG_FORMAT_NV12, ZSSEG_FORMAT_YUYV};
    unsigned i;
    for (i = 0; i < 2; i++) {
        struct v4l2_format format = {0};
        format.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
        format.fmt.pix.width = source->width;
        format.fmt.pix.height = source->height;
        format.fmt.pix.pixelformat = pixels[i];
        format.fmt.pix.field = V4L2_FIELD_NONE;
        if (request(file, VIDIOC_S_FMT, &format) == 0 && format.fmt.pix.pixelformat == pixels[i]) {
            source->format = formats[i];
            source->width = format.fmt.pix.width;
            source->height = format.fmt.pix.height;
            source->stride_bytes = format.fmt.pix.bytesperline;
            return NULL;
        }
    }
    errno = ENOTSUP;
    return "the camera has neither NV12 nor YUYV";
}

static const char *map_buffers(struct camera *camera)
{
    struct v4l2_requestbuffers wanted = {0};
    uint32_t i;
    wanted.count = BUFFERS;
    wanted.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    wanted.memory = V4L2_MEMORY_MMAP;
    if (request(camera->file, VIDIOC_REQBUFS, &wanted) == -1) {
        return "the camera cannot stream";
    }
    for (i = 0; i < wanted.count && i < BUFFERS; i++) {
        struct v4l2_buffer buffer = {0};
        void *start;
        buffer.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
        buffer.memory = V4L2_MEMORY_MMAP;
        buffer.index = i;
        if (request(camera->file, VIDIOC_QUERYBUF, &buffer) == -1) {
            return "the camera's buffers are unknown";
        }
        start = mmap(NULL, buffer.length, PROT_READ, MAP_SHARED, camera->file,
                     (off_t)buffer.m.offset);
        if (start == MAP_FAILED) {
            return "the camera's buffers cannot be mapped";
        }
        camera->buffers[i].start = start;
        camera->buffers[i].bytes = buffer.length;
        camera->mapped = i + 1;
        if (give(camera, i) == -1) {
            return "the camera does not take its buffers";
        }
    }
    return NULL;
}

const char *source_open_camera(struct source *source, const char *device)
{
    struct camera *camera = calloc(1, sizeof *camera);
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    const char *reason;
    if (camera == NULL) {
        return "no memory for the camera";
    }
    camera->lent = -1;
    camera->file = open(device, O_RDWR | O_CLOEXEC);
    if (camera->file == -1) {
        free(camera);
        return "the camera cannot be opened";
    }
    source->state = camera;
    source->next = next;
    source->close = close_camera;
    reason = agree(source, camera->file);
    if (reason == NULL) {
        reason = map_buffers(camera);
    }
    if (reason == NULL && request(camera->file, VIDIOC_STREAMON, &type) == -1) {
        reason = "the camera does not start";
    }
    if (reason != NULL) {
        const int error = errno;
        close_camera(source);
        errno = error;
    }
    return reason;
}
