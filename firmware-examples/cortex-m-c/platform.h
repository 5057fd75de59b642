/* platform.h: what the program needs of the machine under it: a board, or a host. */
#ifndef PLATFORM_H
#define PLATFORM_H

#include <stddef.h>
#include <stdint.h>

void platform_write(const char *text);

/* Instructions since the start; always 0 where nothing counts them. */
uint64_t platform_instructions(void);

/* What platform_instructions() counts of a loop of 2,000,000: a check of the counter. */
uint64_t platform_counted_loop(void);

/* Starts measuring the stack anew. */
void platform_paint_stack(void);

/* The deepest that the stack has been since, in bytes; 0 where nothing measures it. */
size_t platform_stack_bytes(void);

/* All RAM that the program was linked with, its stack included; 0 on a host. */
size_t platform_ram_bytes(void);

#endif
