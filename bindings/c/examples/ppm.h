/*
 * ppm.h: reads binary PPM pictures (P6, 8 bit) and writes binary PGM masks (P5).
 *
 * The file is not trusted: sizes are bounded before anything is allocated, and a file that ends
 * too early is an error.
 */
#ifndef PPM_H
#define PPM_H

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PPM_MAX_SIDE 16384u

struct ppm {
    uint32_t width;
    uint32_t height;
    uint8_t *pixels; /* R, G, B; width * height * 3 bytes; free() them */
};

/* Reads a decimal number after white space and comments; 0 when there is none up to `max`. */
static inline uint32_t ppm_number(FILE *file, uint32_t max)
{
    uint32_t number = 0;
    int c = getc(file);
    while (c == '#' || isspace(c)) {
        if (c == '#') {
            while (c != '\n' && c != EOF) {
                c = getc(file);
            }
        } else {
            c = getc(file);
        }
    }
    for (; isdigit(c); c = getc(file)) {
        number = number * 10u + (uint32_t)(c - '0');
        if (number > max) {
            return 0;
        }
    }
    /* One white space ends the number; after the last one the pixels begin. */
    return isspace(c) ? number : 0;
}

static inline const char *ppm_parse(FILE *file, struct ppm *picture)
{
    char magic[2];
    size_t bytes;
    if (fread(magic, 1, 2, file) != 2 || memcmp(magic, "P6", 2) != 0) {
        return "not a binary PPM (P6)";
    }
    picture->width = ppm_number(file, PPM_MAX_SIDE);
    picture->height = ppm_number(file, PPM_MAX_SIDE);
    if (picture->width == 0 || picture->height == 0) {
        return "width or height is missing, zero or too large";
    }
    if (ppm_number(file, 255) != 255) {
        return "not 8 bits per channel";
    }
    bytes = (size_t)picture->width * picture->height;
    if (bytes > SIZE_MAX / 3) {
        return "too large";
    }
    bytes *= 3;
    picture->pixels = (uint8_t *)malloc(bytes);
    if (picture->pixels == NULL) {
        return "no memory";
    }
    if (fread(picture->pixels, 1, bytes, file) != bytes) {
        free(picture->pixels);
        picture->pixels = NULL;
        return "the file ends too early";
    }
    return NULL;
}

/* NULL, or why the picture could not be read. */
static inline const char *ppm_read(const char *path, struct ppm *picture)
{
    const char *reason;
    FILE *file = fopen(path, "rb");
    memset(picture, 0, sizeof *picture);
    if (file == NULL) {
        return "cannot be opened";
    }
    reason = ppm_parse(file, picture);
    fclose(file);
    return reason;
}

/* NULL, or why the mask could not be written. `labels` are width * height bytes. */
static inline const char *pgm_write(const char *path, const uint8_t *labels, uint32_t width,
                                    uint32_t height)
{
    size_t bytes = (size_t)width * height;
    FILE *file = fopen(path, "wb");
    int good;
    if (file == NULL) {
        return "cannot be created";
    }
    good = fprintf(file, "P5\n%lu %lu\n255\n", (unsigned long)width, (unsigned long)height) > 0;
    good = good && fwrite(labels, 1, bytes, file) == bytes;
    good = fclose(file) == 0 && good;
    return good ? NULL : "cannot be written";
}

#endif
