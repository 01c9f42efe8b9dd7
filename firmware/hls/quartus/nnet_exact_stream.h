// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// The streams of projects for Quartus.

#ifndef NNET_EXACT_STREAM_H_
#define NNET_EXACT_STREAM_H_

#include "nnet_common.h"

namespace nnet {

template <class T> using exact_stream = ::stream<T>;

} // namespace nnet

#endif
