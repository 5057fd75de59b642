/* The platform of a host: a terminal. */
#include "platform.h"

#include <stdio.h>

void platform_write(const char *text)
{
    fputs(text, stdout);
}

uint64_t platform_instructions(void)
{
    return 0;
}

uint64_t platform_counted_loop(void)
{
    return 0;
}

void platform_paint_stack(void)
{
}

size_t platform_stack_bytes(void)
{
    return 0;
}

size_t platform_ram_bytes(void)
{
    return 0;
}
