/* look_memory.h - memory that is not there, for what reads other threads
 * (pymiddleware/native/look).
 *
 * It stands for look/memory.c: addresses of a few regions are read from the
 * fuzzer's images, all others are refused. From a given read on, each region
 * shows its second image: the thread went on while it was looked at.
 */
#ifndef SL_FUZZ_LOOK_MEMORY_H
#define SL_FUZZ_LOOK_MEMORY_H

#include "look/memory.h"

typedef struct {
    uintptr_t base;
    size_t size;
    uint8_t *image[2];
} look_region;

#define LOOK_REGIONS 4

/* All reads go to these, and how many there were. */
extern look_region look_regions[LOOK_REGIONS];
extern size_t look_reads;

/* From the read with this number on, the second images are shown. */
extern size_t look_torn_at;

/* The bytes at `address` of that image; NULL: not all of them are there. */
uint8_t *look_bytes(uintptr_t address, size_t size, int image);

/* What is left of the fuzzer's bytes. */
typedef struct {
    const uint8_t *at, *end;
} look_input;

/* The next byte; behind the end, zeros. */
uint8_t look_take(look_input *in);

/* A find, unless it is true. */
void look_demand(bool truth);

#endif
