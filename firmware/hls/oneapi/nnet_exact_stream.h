// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// The layers of nnet_exact.h between pipes, as tasks of their own. A pipe is a type.

#ifndef NNET_EXACT_STREAM_H_
#define NNET_EXACT_STREAM_H_

#include <sycl/sycl.hpp>

#include <tuple>

#include "nnet_types.h"

namespace nnet {

#ifdef CSIM_SYCL_H_
template <class T> using exact_stream = csim::pipe_words<T>;
#else
template <class T> class exact_stream; // there are none but pipes
#endif

template <class pipe_T> using exact_word = typename ExtractPipeType<pipe_T>::value_type;

template <class pipe_T> using exact_element = typename exact_word<pipe_T>::value_type;

template <class pipe_T> constexpr unsigned exact_size() { return std::tuple_size<exact_word<pipe_T>>::value; }

template <class pipe_T, unsigned count> void exact_read(exact_element<pipe_T> *values) {
    [[intel::initiation_interval(1)]] for (unsigned i = 0; i < count / exact_size<pipe_T>(); i++) {
        exact_word<pipe_T> word = pipe_T::read();
        #pragma unroll
        for (unsigned j = 0; j < exact_size<pipe_T>(); j++) {
            values[i * exact_size<pipe_T>() + j] = word[j];
        }
    }
}

template <class pipe_T, unsigned count> void exact_write(const exact_element<pipe_T> *values) {
    [[intel::initiation_interval(1)]] for (unsigned i = 0; i < count / exact_size<pipe_T>(); i++) {
        exact_word<pipe_T> word;
        #pragma unroll
        for (unsigned j = 0; j < exact_size<pipe_T>(); j++) {
            word[j] = values[i * exact_size<pipe_T>() + j];
        }
        pipe_T::write(word);
    }
}

// One element at a time.
template <class op_T, typename CONFIG_T, class x_pipe, class y_pipe, class... param_T>
void exact_each_stream(param_T... params) {
    if constexpr (exact_size<x_pipe>() == exact_size<y_pipe>()) {
        constexpr unsigned size = exact_size<y_pipe>();
        [[intel::initiation_interval(1)]] for (unsigned i = 0; i < CONFIG_T::n_out / size; i++) {
            exact_word<x_pipe> x = x_pipe::read();
            exact_word<y_pipe> y;
            #pragma unroll
            for (unsigned j = 0; j < size; j++) {
                op_T::template at<CONFIG_T>(i * size + j, x[j], y[j], params.data()...);
            }
            y_pipe::write(y);
        }
    } else {
        exact_element<x_pipe> x[CONFIG_T::n_out];
        exact_element<y_pipe> y[CONFIG_T::n_out];
        exact_read<x_pipe, CONFIG_T::n_out>(x);
        [[intel::initiation_interval(1)]] for (unsigned i = 0; i < CONFIG_T::n_out; i++) {
            op_T::template at<CONFIG_T>(i, x[i], y[i], params.data()...);
        }
        exact_write<y_pipe, CONFIG_T::n_out>(y);
    }
}

// A whole tensor at a time.
template <class op_T, typename CONFIG_T, class x_pipe, class y_pipe, class... param_T>
void exact_whole_stream(param_T... params) {
    exact_element<x_pipe> x[CONFIG_T::n_in];
    exact_element<y_pipe> y[CONFIG_T::n_out];
    exact_read<x_pipe, CONFIG_T::n_in>(x);
    op_T::template all<CONFIG_T>(x, y, params.data()...);
    exact_write<y_pipe, CONFIG_T::n_out>(y);
}

// a and b side by side.
template <typename CONFIG_T, class a_pipe, class b_pipe, class y_pipe> void exact_concat_stream() {
    constexpr unsigned n_a = CONFIG_T::n_outer * CONFIG_T::n_a, n_b = CONFIG_T::n_outer * CONFIG_T::n_b;
    exact_element<a_pipe> a[n_a];
    exact_element<b_pipe> b[n_b];
    exact_element<y_pipe> y[CONFIG_T::n_out];
    exact_read<a_pipe, n_a>(a);
    exact_read<b_pipe, n_b>(b);
    for (unsigned i = 0; i < CONFIG_T::n_out; i++) {
        unsigned o = i / (CONFIG_T::n_a + CONFIG_T::n_b), place = i % (CONFIG_T::n_a + CONFIG_T::n_b);
        if (place < CONFIG_T::n_a) {
            y[i] = a[o * CONFIG_T::n_a + place];
        } else {
            y[i] = b[o * CONFIG_T::n_b + place - CONFIG_T::n_a];
        }
    }
    exact_write<y_pipe, CONFIG_T::n_out>(y);
}

} // namespace nnet

#endif
