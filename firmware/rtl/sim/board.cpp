// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// Runs ei_board_top from pin to pin: bytes go in bit by bit on rx, and what comes out of tx is kept.
//
//   board DIVIDER PATIENCE SEED IN OUT
//
// IN: messages, each a 32-bit number (1: wait for its answer, 0: stay still for PATIENCE cycles), a 32-bit
// length, and the bytes. Between bytes the line rests at random. OUT: all bytes that came. An answer that has
// not come within PATIENCE cycles ends the run; so does a byte without a stop bit.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "Vei_board_top.h"
#include "verilated.h"

namespace {

std::vector<uint8_t> read_all(const char* path) {
    FILE* file = std::fopen(path, "rb");
    if (!file) {
        std::fprintf(stderr, "error: %s cannot be read\n", path);
        std::exit(2);
    }
    std::vector<uint8_t> bytes;
    for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) bytes.push_back(static_cast<uint8_t>(c));
    std::fclose(file);
    return bytes;
}

uint32_t number(const std::vector<uint8_t>& bytes, size_t at) {
    return bytes.at(at) | bytes.at(at + 1) << 8 | bytes.at(at + 2) << 16 | static_cast<uint32_t>(bytes.at(at + 3)) << 24;
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
    const std::vector<uint8_t> in = read_all(argv[4]);
    std::vector<uint8_t> out;

    const auto context = std::make_unique<VerilatedContext>();
    const auto top = std::make_unique<Vei_board_top>(context.get());
    top->rx = 1;
    top->button = 0;

    uint64_t cycle = 0;
    int count = -1, place = 0;  // until the next look at tx; which bit that is
    uint8_t held = 0;
    auto clock = [&]() {
        top->clk = 0;
        top->eval();
        top->clk = 1;
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
                out.push_back(held);
                count = -1;
            }
            ++place;
        }
    };
    auto rest = [&](uint64_t cycles) {
        for (uint64_t i = 0; i < cycles; ++i) clock();
    };

    rest(64);
    size_t at = 0;
    while (at < in.size()) {
        const bool answered = number(in, at) != 0;
        const size_t length = number(in, at + 4), before = out.size();
        at += 8;
        for (size_t i = 0; i < length; ++i) {
            const unsigned frame = 1u << 9 | in.at(at + i) << 1;
            for (int bit = 0; bit < 10; ++bit) {
                top->rx = frame >> bit & 1;
                rest(divider);
            }
            state = state * 6364136223846793005ULL + 1442695040888963407ULL;
            rest((state >> 33) % 8 == 0 ? (state >> 40) % (2 * divider) : 0);
        }
        at += length;
        if (!answered) {
            rest(patience);
            continue;
        }
        for (uint64_t i = 0;; ++i) {
            const size_t come = out.size() - before;
            if (come >= 4 && come >= 6u + out[before + 2] + (out[before + 3] << 8)) break;
            if (i > patience + 12ULL * divider * come) {
                std::fprintf(stderr, "error: no answer, or not all of it\n");
                return 3;
            }
            clock();
        }
    }
    rest(64 * divider);  // nothing may follow
    FILE* file = std::fopen(argv[5], "wb");
    if (!file || std::fwrite(out.data(), 1, out.size(), file) != out.size() || std::fclose(file) != 0) {
        std::fprintf(stderr, "error: %s cannot be written\n", argv[5]);
        return 2;
    }
    std::printf("cycles %llu\n", static_cast<unsigned long long>(cycle));
    return 0;
}
