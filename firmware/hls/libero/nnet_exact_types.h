// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// What nnet_exact.h needs to know about ap_fixpt: its bits, and its streams.

#ifndef NNET_EXACT_TYPES_H_
#define NNET_EXACT_TYPES_H_

#include <hls/ap_fixpt.hpp>
#include <hls/ap_int.hpp>
#include <hls/streaming.hpp>

namespace nnet {

template <class T> using exact_stream = hls::FIFO<T>;

// The integer that stands behind a fixed-point number: its value times 2^(fractional bits).
template <class T> hls::ap_int<T::width + 2> exact_raw(const T &x) {
    #pragma HLS function inline
    hls::ap_int<T::width + 2> raw = x.raw_bits();
    if (x < 0) {
        raw -= hls::ap_int<T::width + 2>(1) << T::width;
    }
    return raw;
}

// An index that is known to be small and not negative.
template <class T> unsigned exact_index(const T &raw) { return raw.to_uint64(); }

} // namespace nnet

#endif
