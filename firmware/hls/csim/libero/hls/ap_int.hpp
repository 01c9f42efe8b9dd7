// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// Integers of SmartHLS, for g++: those that hls4ml ships.

#ifndef CSIM_HLS_AP_INT_H_
#define CSIM_HLS_AP_INT_H_

#include <ap_int.h>

namespace hls {

template <int W> using ap_int = ::ap_int<W>;
template <int W> using ap_uint = ::ap_uint<W>;

} // namespace hls

#endif
