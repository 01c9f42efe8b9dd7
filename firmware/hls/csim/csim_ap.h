// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// ap_fixed to and from raw integers, streams of it, and weights that are read fast.

#ifndef CSIM_AP_H_
#define CSIM_AP_H_

#include "nnet_utils/nnet_exact_types.h"

namespace csim {

template <class T> void put(T &x, long long raw) { x.range(T::width - 1, 0) = raw; }

template <class T> long long get(const T &x) { return nnet::exact_raw(x).to_int64(); }

template <class word_T> using stream = nnet::exact_stream<word_T>;

template <class word_T> constexpr size_t size_of() { return word_T::size; }

template <class word_T> bool is_empty(stream<word_T> &words) { return words.empty(); }

} // namespace csim

#endif
