// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// The few names of SYCL and of Intel's extensions that projects of hls4ml use, for g++.
//
// A pipe is a queue without an end, and a task runs to its end where it is started. hls4ml starts the
// tasks of a network in the order of the data, so each finds in its pipes all that it reads. How deep
// a pipe is, what is a register and how loops are pipelined change no value, and are not looked at.

#ifndef CSIM_SYCL_H_
#define CSIM_SYCL_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <string>
#include <vector>

#define SYCL_EXTERNAL

namespace csim {

// A queue that can be asked what was left in it.
struct any_words {
    static std::vector<const any_words *> &all() {
        static std::vector<const any_words *> known;
        return known;
    }

    any_words() { all().push_back(this); }
    virtual bool empty() const = 0;
};

template <class word_T> struct pipe_words : any_words {
    std::deque<word_T> held;

    bool empty() const override { return held.empty(); }

    word_T read() {
        if (held.empty()) {
            std::fprintf(stderr, "error: a pipe is read more often than it is written, which stalls the design\n");
            std::_Exit(1);
        }
        word_T word = held.front();
        held.pop_front();
        return word;
    }

    void write(const word_T &word) { held.push_back(word); }
};

inline bool pipes_are_empty() {
    for (const any_words *words : any_words::all()) {
        if (!words->empty()) {
            return false;
        }
    }
    return true;
}

} // namespace csim

namespace sycl {

class queue; // to a device; there is none

namespace ext {

namespace oneapi {
namespace experimental {

struct properties_tag {};

struct properties {
    template <class... property_T> constexpr properties(property_T...) {}
};

} // namespace experimental
} // namespace oneapi

namespace intel {
namespace experimental {

template <int value> struct annotation {};

template <int cycles> constexpr annotation<cycles> ready_latency{};
template <int kind = 0> constexpr annotation<kind> streaming_interface{};
template <int kind = 0> constexpr annotation<kind> pipelined{};

template <class name_T, class word_T, int32_t capacity = 0, class properties_T = oneapi::experimental::properties,
          typename... other_T>
struct pipe {
    static csim::pipe_words<word_T> &words() {
        static csim::pipe_words<word_T> own;
        return own;
    }

    static word_T read() { return words().read(); }

    static void write(const word_T &word) { words().write(word); }
};

template <auto task> struct task_sequence {
    template <class... argument_T> void async(const argument_T &...arguments) { task(arguments...); }
};

} // namespace experimental
} // namespace intel
} // namespace ext
} // namespace sycl

#endif
