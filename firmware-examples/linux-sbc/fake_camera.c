/*
 * For the test: a camera that is not there, by LD_PRELOAD. Opening FAKE_CAMERA (a file of raw frames,
 * NV12, or YUYV if it ends so) gives a V4L2 device with its frames, which ends with an error after the
 * last one. Its rows are 32 bytes longer than the picture's, as those of real cameras may be.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WIDTH = 160, HEIGHT = 120, PADDING = 32, BUFFERS = 3, BUFFER_BYTES = 1 << 16 };

static int device = -1;
static FILE *frames;
static int is_yuyv;
static unsigned queue[BUFFERS], queued;
static unsigned is_queued[BUFFERS];

int open(const char *path, int flags, ...)
{
    int (*real)(const char *, int, ...);
    va_list arguments;
    mode_t mode;
    const char *fake = getenv("FAKE_CAMERA");
    if (fake != NULL && strcmp(path, fake) == 0) {
        is_yuyv = strstr(fake, "yuyv") != NULL;
        frames = fopen(fake, "rb");
        device = memfd_create("camera", 0);
        return frames == NULL || ftruncate(device, BUFFERS * BUFFER_BYTES) != 0 ? -1 : device;
    }
    *(void **)&real = dlsym(RTLD_NEXT, "open");
    va_start(arguments, flags);
    mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return real(path, flags, mode);
}

/* Fills a buffer with the next frame, row by row. */
static int fill(struct v4l2_buffer *buffer)
{
    const size_t row_bytes = is_yuyv ? WIDTH * 2 : WIDTH;
    const unsigned rows = is_yuyv ? HEIGHT : HEIGHT * 3 / 2;
    unsigned char row[WIDTH * 2 + PADDING] = {0};
    unsigned y;
    for (y = 0; y < rows; y++) {
        const off_t place = (off_t)(buffer->index * BUFFER_BYTES + y * (row_bytes + PADDING));
        if (fread(row, 1, row_bytes, frames) != row_bytes ||
            pwrite(device, row, row_bytes + PADDING, place) < 0) {
            errno = ENODEV;
            return -1;
        }
    }
    buffer->bytesused = (unsigned)(rows * (row_bytes + PADDING));
    return 0;
}

static int dequeue(struct v4l2_buffer *buffer)
{
    if (queued == 0) {
        errno = EAGAIN;
        return -1;
    }
    buffer->index = queue[0];
    queued -= 1;
    memmove(queue, queue + 1, queued * sizeof *queue);
    is_queued[buffer->index] = 0;
    return fill(buffer);
}

static int enqueue(const struct v4l2_buffer *buffer)
{
    if (buffer->index >= BUFFERS || is_queued[buffer->index]) {
        errno = EINVAL;
        return -1;
    }
    is_queued[buffer->index] = 1;
    queue[queued] = buffer->index;
    queued += 1;
    return 0;
}

/* As drivers do: another format and size than wanted come back. */
static int agree(struct v4l2_format *format)
{
    format->fmt.pix.pixelformat = is_yuyv ? V4L2_PIX_FMT_YUYV : V4L2_PIX_FMT_NV12;
    format->fmt.pix.width = WIDTH;
    format->fmt.pix.height = HEIGHT;
    format->fmt.pix.bytesperline = (is_yuyv ? WIDTH * 2 : WIDTH) + PADDING;
    return 0;
}

int ioctl(int file, unsigned long number, ...)
{
    va_list arguments;
    void *argument;
    va_start(arguments, number);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (file == device && device != -1) {
        struct v4l2_buffer *buffer = argument;
        switch (number) {
        case VIDIOC_S_FMT:
            return agree(argument);
        case VIDIOC_REQBUFS:
            ((struct v4l2_requestbuffers *)argument)->count = BUFFERS;
            return 0;
        case VIDIOC_QUERYBUF:
            buffer->length = BUFFER_BYTES;
            buffer->m.offset = buffer->index * BUFFER_BYTES;
            return 0;
        case VIDIOC_QBUF:
            return enqueue(buffer);
        case VIDIOC_DQBUF:
            return dequeue(buffer);
        case VIDIOC_STREAMON:
        case VIDIOC_STREAMOFF:
            return 0;
        }
    }
    errno = ENOTTY;
    return -1;
}
