// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// Runs ei_board_top from pin to pin, for a host at the other end of its serial line.
//
//   board DIVIDER PATIENCE SEED IN OUT
//
// IN and OUT are pipes. The host writes orders to IN, each a letter and a 32-bit number:
//   W n, and n bytes: these go in bit by bit on rx; between bytes the line rests at random;
//   R n: let the clock run until n bytes have come out of tx, or none has come for PATIENCE cycles; OUT gets
//        their number and the bytes;
//   F 0: forget the bytes that have come.
// The end of IN is the end of the run. A byte without a stop bit is an error.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>

#include "Vei_board_top.h"
#include "verilated.h"

namespace {

bool read_number(FILE* file, uint32_t& value) {
    unsigned char bytes[4];
    if (std::fread(bytes, 1, 4, file) != 4) return false;
    value = bytes[0] | bytes[1] << 8 | bytes[2] << 16 | static_cast<uint32_t>(bytes[3]) << 24;
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 6) {
        std::fprintf(stderr, "error: DIVIDER PATIENCE SEED IN OUT\n");
        return 2;
    }
    const int divider = std::atoi(argv[1]);
    const uint64_t patience = std::strtoull(argv[2], nullptr, 10);
    uint64_t state = std::strtoull(argv[3], nullptr, 10) * 2 + 1;
    FILE* in = std::fopen(argv[4], "rb");
    FILE* out = std::fopen(argv[5], "wb");
    if (!in || !out) {
        std::fprintf(stderr, "error: the pipes of the serial line cannot be opened\n");
        return 2;
    }

    const auto context = std::make_unique<VerilatedContext>();
    const auto top = std::make_unique<Vei_board_top>(context.get());
    std::deque<uint8_t> come;
    top->rx = 1;
    top->button = BUTTON_RESTS;

    uint64_t cycle = 0;
    int count = -1, place = 0;  // until the next look at tx; which bit that is
    uint8_t held = 0;
    auto clock = [&]() {
        top->crystal = 0;
        top->eval();
        top->crystal = 1;
        top->eval();
        ++cycle;
        if (count < 0) {
            if (!top->tx) count = divider + divider / 2 - 1, place = 0;
        } else if (count-- == 0) {
            count = divider - 1;
            if (place < 8) {
                held = static_cast<uint8_t>(held >> 1 | (top->tx ? 0x80 : 0));
            } else {
                if (!top->tx) {
                    std::fprintf(stderr, "error: a byte without a stop bit\n");
                    std::exit(4);
                }
                come.push_back(held);
                count = -1;
            }
            ++place;
        }
    };
    auto rest = [&](uint64_t cycles) {
        for (uint64_t i = 0; i < cycles; ++i) clock();
    };

    rest(64);
    for (int order = std::fgetc(in); order != EOF; order = std::fgetc(in)) {
        uint32_t length = 0;
        if (!read_number(in, length)) break;
        if (order == 'F') {
            come.clear();
        } else if (order == 'W') {
            for (uint32_t i = 0; i < length; ++i) {
                const int byte = std::fgetc(in);
                if (byte == EOF) return 0;
                const unsigned frame = 1u << 9 | static_cast<unsigned>(byte) << 1;
                for (int bit = 0; bit < 10; ++bit) {
                    top->rx = frame >> bit & 1;
                    rest(divider);
                }
                state = state * 6364136223846793005ULL + 1442695040888963407ULL;
                rest((state >> 33) % 8 == 0 ? (state >> 40) % (2 * divider) : 0);
            }
        } else {
            size_t before = come.size();
            for (uint64_t waited = 0; come.size() < length && waited < patience; ++waited) {
                clock();
                if (come.size() != before) waited = 0, before = come.size();
            }
            const uint32_t given = come.size() < length ? static_cast<uint32_t>(come.size()) : length;
            for (int i = 0; i < 4; ++i) std::fputc(static_cast<int>(given >> 8 * i & 0xFF), out);
            for (uint32_t i = 0; i < given; ++i) {
                std::fputc(come.front(), out);
                come.pop_front();
            }
            std::fflush(out);
        }
    }
    std::printf("cycles %llu\n", static_cast<unsigned long long>(cycle));
    return 0;
}
