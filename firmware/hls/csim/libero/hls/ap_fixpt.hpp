// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// Fixed-point numbers of SmartHLS, for g++. Microchip documents that they round and overflow when they
// are made or assigned, and that what arithmetic yields is wide enough; its guide for designs that come
// from Vitis HLS only renames ap_fixed. So they are made of ap_fixed, which hls4ml ships.

#ifndef CSIM_HLS_AP_FIXPT_H_
#define CSIM_HLS_AP_FIXPT_H_

#include <ap_fixed.h>

#include "ap_int.hpp"

namespace hls {

using ::AP_RND;
using ::AP_RND_CONV;
using ::AP_RND_INF;
using ::AP_RND_MIN_INF;
using ::AP_RND_ZERO;
using ::AP_SAT;
using ::AP_SAT_ZERO;
using ::AP_TRN;
using ::AP_TRN_ZERO;
using ::AP_WRAP;

template <int W, int I, ap_q_mode Q = AP_TRN, ap_o_mode O = AP_WRAP> struct ap_fixpt : ::ap_fixed<W, I, Q, O> {
    ap_fixpt() {}
    template <class T> ap_fixpt(const T &x) : ::ap_fixed<W, I, Q, O>(x) {}
    ap_uint<W> raw_bits() const { return this->range(W - 1, 0); }
};

template <int W, int I, ap_q_mode Q = AP_TRN, ap_o_mode O = AP_WRAP> struct ap_ufixpt : ::ap_ufixed<W, I, Q, O> {
    ap_ufixpt() {}
    template <class T> ap_ufixpt(const T &x) : ::ap_ufixed<W, I, Q, O>(x) {}
    ap_uint<W> raw_bits() const { return this->range(W - 1, 0); }
};

} // namespace hls

#endif
