// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// One frame, or one plane, through a design with one input and one output, from Linux on a Zynq's processors:
//
//   gcc -O2 -o example example.c
//   sudo ./example REGISTERS DMA_IN DMA_OUT < frame.bin > result.bin
//   sudo ./example REGISTERS DMA_IN DMA_OUT < plane.bin > hits.csv
//
// The design is in the logic already; the addresses are those of accelerator, dma_in_0 and dma_out_0 in design.hwh
// (README.md prints them). The buffer is that of the kernel module u-dma-buf (/dev/udmabuf0, opened with O_SYNC, so
// that nothing stays in a cache): what goes in lies in its first pages, what comes out after them.
// frame.bin holds a frame as `pack` of driver.py makes it, plane.bin a plane as `pack_plane` of planes.py does. A line
// of hits.csv is a hit: its wire, its pixel of time, and the integers of each output.
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "design.h"
#if DESIGN_PLANES
#include "records.h"
#endif

enum { ID_LOW = 0, ID_HIGH = 1, CONTROL = 3, BATCH = 4, CYCLES = 10 };                    // words of the design's registers
enum { SEND = 0x00 / 4, RECEIVE = 0x30 / 4, STATUS = 1, ADDRESS = 6, HIGH = 7, LENGTH = 10 };  // of a DMA's
enum { RUN = 1, RESET = 4, IDLE = 2, ERRORS = 0x70, PAGE = 4096 };

static volatile uint32_t *map_registers(int memory, uint64_t address) {
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, (off_t)address);
    if (page == MAP_FAILED) {
        perror("the registers cannot be mapped");
        exit(4);
    }
    return page;
}

static void start(volatile uint32_t *channel, uint64_t address, uint32_t bytes) {
    channel[0] = RUN;
    channel[ADDRESS] = (uint32_t)address;
    channel[HIGH] = (uint32_t)(address >> 32);
    channel[LENGTH] = bytes;  // which begins the transfer
}

int main(int argc, char **argv) {
    if (argc != 4 || DESIGN_INPUTS != 1 || DESIGN_OUTPUTS != 1) {
        fprintf(stderr, "example REGISTERS DMA_IN DMA_OUT, for a design with one input and one output\n");
        return 2;
    }
    const int memory = open("/dev/mem", O_RDWR | O_SYNC), shared = open("/dev/udmabuf0", O_RDWR | O_SYNC);
    FILE *address = fopen("/sys/class/u-dma-buf/udmabuf0/phys_addr", "r");
    uint64_t physical;
    if (memory < 0 || shared < 0 || address == NULL || fscanf(address, "%" SCNx64, &physical) != 1) {
        fprintf(stderr, "/dev/mem or u-dma-buf is not there\n");
        return 4;
    }
    const uint32_t half = (DESIGN_BYTES_IN + PAGE - 1) / PAGE * PAGE;
    uint8_t *buffer = mmap(NULL, half + DESIGN_BYTES_OUT, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
    if (buffer == MAP_FAILED || fread(buffer, 1, DESIGN_BYTES_IN, stdin) != DESIGN_BYTES_IN) {
        fprintf(stderr, "the buffer is too small, or the frame too short\n");
        return 4;
    }
    volatile uint32_t *design = map_registers(memory, strtoull(argv[1], NULL, 0));
    volatile uint32_t *in = map_registers(memory, strtoull(argv[2], NULL, 0)) + SEND;
    volatile uint32_t *out = map_registers(memory, strtoull(argv[3], NULL, 0)) + RECEIVE;
    if (((uint64_t)design[ID_HIGH] << 32 | design[ID_LOW]) != DESIGN_IDENTITY) {
        fprintf(stderr, "another design is loaded\n");
        return 4;
    }
    in[0] = out[0] = RESET;
    design[CONTROL] = 1;
    while ((in[0] & RESET) || (out[0] & RESET) || (design[CONTROL] & 1)) {
    }
    design[BATCH] = 1;
    start(out, physical + half, DESIGN_BYTES_OUT);
    start(in, physical, DESIGN_BYTES_IN);
    while (!(out[STATUS] & IDLE)) {
        if ((in[STATUS] | out[STATUS]) & ERRORS) {
            fprintf(stderr, "a DMA reported an error\n");
            return 4;
        }
    }
    fprintf(stderr, "%" PRIu32 " cycles\n", design[CYCLES]);
#if DESIGN_PLANES
    const long hits = print_hits(buffer + half, out[LENGTH], stdout);  // the DMA has counted the bytes of the packet
    if (hits < 0) {
        fprintf(stderr, "the records do not end with their mark\n");
        return 4;
    }
    fprintf(stderr, "%ld hits\n", hits);
    return 0;
#else
    return fwrite(buffer + half, 1, DESIGN_BYTES_OUT, stdout) == DESIGN_BYTES_OUT ? 0 : 4;
#endif
}
