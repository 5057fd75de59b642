/* file.h: reads a whole file into memory. */
#ifndef FILE_H
#define FILE_H

#include <stdio.h>
#include <stdlib.h>

/* The file's bytes, to be freed with free(); NULL when it cannot be read or is empty. */
static inline void *file_read(const char *path, size_t *bytes)
{
    void *data = NULL;
    long size = 0;
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    if (fseek(file, 0, SEEK_END) == 0) {
        size = ftell(file);
    }
    rewind(file);
    if (size > 0) {
        data = malloc((size_t)size);
    }
    if (data != NULL && fread(data, 1, (size_t)size, file) != (size_t)size) {
        free(data);
        data = NULL;
    }
    fclose(file);
    *bytes = data == NULL ? 0 : (size_t)size;
    return data;
}

#endif
