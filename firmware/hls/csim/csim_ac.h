// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// ac_fixed to and from raw integers, and streams of it.

#ifndef CSIM_AC_H_
#define CSIM_AC_H_

#include "nnet_utils/nnet_exact_types.h"

namespace csim {

template <int W, int I, bool S, ac_q_mode Q, ac_o_mode O> void put(ac_fixed<W, I, S, Q, O> &x, long long raw) {
    ac_int<W, S> bits = raw;
    x.set_slc(0, bits);
}

template <class T> long long get(const T &x) { return nnet::exact_raw(x).to_int64(); }

template <class word_T> using stream = nnet::exact_stream<word_T>;

template <class word_T> constexpr auto size_of() -> decltype(size_t(word_T::size)) { return word_T::size; }

template <class word_T> constexpr auto size_of() -> decltype(size_t(word_T().max_size())) { return word_T().max_size(); }

template <class T> auto holds_nothing(T &words, int) -> decltype(words.empty()) { return words.empty(); }

template <class T> bool holds_nothing(T &, long) { return true; } // Quartus's cannot be asked

template <class word_T> bool is_empty(stream<word_T> &words) { return holds_nothing(words, 0); }

} // namespace csim

#endif
