/*
 * check.h: the whole test framework. A failed check prints file:line and the run goes on, so that
 * one run shows everything that is wrong.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <string.h>

#include "zsseg.h"

/* Checks made and checks failed so far; in main.c. Changed by one thread only. */
extern unsigned long checks_made;
extern unsigned long checks_failed;

static inline void check_note(int good, const char *file, int line, const char *text)
{
    checks_made += 1;
    if (!good) {
        checks_failed += 1;
        fprintf(stderr, "%s:%d: %s\n", file, line, text);
    }
}

static inline void check_note_status(zsseg_status_t found, zsseg_status_t wanted, const char *file,
                                     int line, const char *text)
{
    check_note(found == wanted, file, line, text);
    if (found != wanted) {
        fprintf(stderr, "    found %d (%s), wanted %d (%s)\n", (int)found, zsseg_status_str(found),
                (int)wanted, zsseg_status_str(wanted));
    }
}

#define CHECK(condition) check_note((condition) != 0, __FILE__, __LINE__, #condition)

#define CHECK_STATUS(call, wanted) check_note_status((call), (wanted), __FILE__, __LINE__, #call)

#endif
