// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// The streams of projects for Catapult.

#ifndef NNET_EXACT_STREAM_H_
#define NNET_EXACT_STREAM_H_

#include <ac_channel.h>
#include <ac_fixed.h>

namespace nnet {

template <class T> using exact_stream = ac_channel<T>;

} // namespace nnet

#endif
