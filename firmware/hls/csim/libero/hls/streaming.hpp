// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// FIFOs of SmartHLS, for g++: without an end.

#ifndef CSIM_HLS_STREAMING_H_
#define CSIM_HLS_STREAMING_H_

#include <deque>

namespace hls {

template <class T> class FIFO {
    std::deque<T> held;

  public:
    FIFO() {}

    bool empty() { return held.empty(); }

    void write(T word) { held.push_back(word); }

    T read() {
        T word = held.front();
        held.pop_front();
        return word;
    }
};

} // namespace hls

#endif
