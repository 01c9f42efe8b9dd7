// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// What nnet_exact.h needs to know about ac_fixed: its bits. Its streams are the backend's own.

#ifndef NNET_EXACT_TYPES_H_
#define NNET_EXACT_TYPES_H_

#include "nnet_exact_stream.h"

#include "nnet_common.h"

namespace nnet {

// The integer that stands behind a fixed-point number: its value times 2^(fractional bits).
template <int W, int I, bool S, ac_q_mode Q, ac_o_mode O> ac_int<W, S> exact_raw(const ac_fixed<W, I, S, Q, O> &x) {
    return x.template slc<W>(0);
}

template <int W, bool S> ac_int<W, S> exact_raw(const ac_int<W, S> &x) { return x; }

// An index that is known to be small and not negative.
template <class T> unsigned exact_index(const T &raw) { return raw.to_uint(); }

} // namespace nnet

#endif
