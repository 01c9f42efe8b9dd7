// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// The records of a plane in C: a hit's wire, its pixel of time, and the integers of each output. A mark ends them.
#ifndef RECORDS_H
#define RECORDS_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

#include "design.h"

// So many bits from a place on, the lowest first, as an integer.
static int64_t take_bits(const uint8_t *from, unsigned place, unsigned bits, int is_signed) {
    uint64_t value = 0;
    for (unsigned bit = 0; bit < bits; bit++)
        value |= (uint64_t)(from[(place + bit) / 8] >> (place + bit) % 8 & 1) << bit;
    if (is_signed && value >> (bits - 1) & 1) value |= ~(uint64_t)0 << (bits - 1);
    return (int64_t)value;
}

// A line of text for each hit, with commas between its numbers; how many there are, or -1 without a mark at the end.
static long print_hits(const uint8_t *records, uint32_t size, FILE *out) {
    const uint8_t *end = records + size;
    for (long hits = 0; end - records >= DESIGN_HIT_BYTES; hits++) {
        if (take_bits(records, DESIGN_WIRE_BITS + DESIGN_PIXEL_BITS, 1, 0)) return hits;
        if (end - records < DESIGN_RECORD_BYTES) return -1;
        fprintf(out, "%" PRId64 ",%" PRId64, take_bits(records, 0, DESIGN_WIRE_BITS, 0),
                take_bits(records, DESIGN_WIRE_BITS, DESIGN_PIXEL_BITS, 0));
        records += DESIGN_HIT_BYTES;
        for (unsigned number = 0; number < DESIGN_RECORD_OUTPUTS; number++)
            for (unsigned beat = 0; beat < DESIGN_OUTPUT[number].beats; beat++) {
                for (unsigned lane = 0; lane < DESIGN_OUTPUT[number].lanes; lane++) {
                    const unsigned bits = DESIGN_OUTPUT[number].bits;
                    fprintf(out, ",%" PRId64, take_bits(records, lane * bits, bits, DESIGN_OUTPUT[number].is_signed));
                }
                records += DESIGN_OUTPUT[number].beat_bytes;
            }
        fputc('\n', out);
    }
    return -1;
}

#endif
