// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// What nnet_exact.h needs to know about ap_fixed: its bits, and its streams.

#ifndef NNET_EXACT_TYPES_H_
#define NNET_EXACT_TYPES_H_

#include "ap_fixed.h"
#include "ap_int.h"
#include "hls_stream.h"

namespace nnet {

template <class T> using exact_stream = hls::stream<T>;

// The integer that stands behind a fixed-point number: its value times 2^(fractional bits).
template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> ap_int<W> exact_raw(const ap_fixed<W, I, Q, O, N> &x) {
    #pragma HLS INLINE
    ap_int<W> raw = x.range(W - 1, 0);
    return raw;
}

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> ap_uint<W> exact_raw(const ap_ufixed<W, I, Q, O, N> &x) {
    #pragma HLS INLINE
    ap_uint<W> raw = x.range(W - 1, 0);
    return raw;
}

template <int W> ap_int<W> exact_raw(const ap_int<W> &x) { return x; }

template <int W> ap_uint<W> exact_raw(const ap_uint<W> &x) { return x; }

// An index that is known to be small and not negative.
template <class T> unsigned exact_index(const T &raw) {
    #pragma HLS INLINE
    return raw.to_uint();
}

} // namespace nnet

#endif
