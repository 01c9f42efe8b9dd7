// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// ac_fixed to and from raw integers, and channels of it, as projects for Catapult have them.

#ifndef CSIM_CATAPULT_H_
#define CSIM_CATAPULT_H_

#include <ac_channel.h>
#include <ac_fixed.h>

namespace csim {

template <int W, int I, bool S, ac_q_mode Q, ac_o_mode O> void put(ac_fixed<W, I, S, Q, O> &x, long long raw) {
    ac_int<W, S> bits = raw;
    x.set_slc(0, bits);
}

template <int W, int I, bool S, ac_q_mode Q, ac_o_mode O> long long get(const ac_fixed<W, I, S, Q, O> &x) {
    return x.template slc<W>(0).to_int64();
}

template <class word_T> using stream = ac_channel<word_T>;

template <class word_T> bool is_empty(stream<word_T> &words) { return !words.available(1); }

} // namespace csim

#endif
