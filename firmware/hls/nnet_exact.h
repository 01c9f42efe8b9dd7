// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// Ops of an integer network for which hls4ml has no layer that is exact for every type and shape.
//
// Tensors are flat, row-major, channels last. Every function exists for arrays (io_parallel) and for
// streams of words (io_stream). Arithmetic happens in types that hold every result; the only rounding
// is that of the result's own type. Sizes come from the config, so that all loops have fixed bounds.

#ifndef NNET_EXACT_H_
#define NNET_EXACT_H_

#include "nnet_exact_types.h"

namespace nnet {

// Words of a stream, element by element.

template <class word_T> void exact_unpack(exact_stream<word_T> &words, typename word_T::value_type *values, unsigned count) {
    for (unsigned i = 0; i < count / word_T::size; i++) {
        #pragma HLS PIPELINE
        word_T word = words.read();
        for (unsigned j = 0; j < word_T::size; j++) {
            #pragma HLS UNROLL
            values[i * word_T::size + j] = word[j];
        }
    }
}

template <class word_T> void exact_pack(typename word_T::value_type *values, exact_stream<word_T> &words, unsigned count) {
    for (unsigned i = 0; i < count / word_T::size; i++) {
        #pragma HLS PIPELINE
        word_T word;
        for (unsigned j = 0; j < word_T::size; j++) {
            #pragma HLS UNROLL
            word[j] = values[i * word_T::size + j];
        }
        words.write(word);
    }
}

// One element at a time: y[i] = f(i, x[i]). Parameters repeat along the flat index.

template <class op_T, typename CONFIG_T, class x_T, class y_T, class... param_T>
void exact_each(x_T *x, y_T *y, param_T *...params) {
    #pragma HLS INLINE
    for (unsigned i = 0; i < CONFIG_T::n_out; i++) {
        #pragma HLS UNROLL
        op_T::template at<CONFIG_T>(i, x[i], y[i], params...);
    }
}

template <class op_T, typename CONFIG_T, class x_T, class y_T, class... param_T>
void exact_each(exact_stream<x_T> &xs, exact_stream<y_T> &ys, param_T *...params) {
    #pragma HLS INLINE
    if (x_T::size == y_T::size) {
        for (unsigned i = 0; i < CONFIG_T::n_out / y_T::size; i++) {
            #pragma HLS PIPELINE
            x_T x = xs.read();
            y_T y;
            for (unsigned j = 0; j < y_T::size; j++) {
                #pragma HLS UNROLL
                op_T::template at<CONFIG_T>(i * y_T::size + j, x[j], y[j], params...);
            }
            ys.write(y);
        }
    } else {
        typename x_T::value_type x[CONFIG_T::n_out];
        typename y_T::value_type y[CONFIG_T::n_out];
        exact_unpack(xs, x, CONFIG_T::n_out);
        for (unsigned i = 0; i < CONFIG_T::n_out; i++) {
            #pragma HLS PIPELINE
            op_T::template at<CONFIG_T>(i, x[i], y[i], params...);
        }
        exact_pack(y, ys, CONFIG_T::n_out);
    }
}

// x in the result's type, which rounds and overflows as it says.
struct exact_requant_op {
    template <typename CONFIG_T, class x_T, class y_T> static void at(unsigned i, const x_T &x, y_T &y) { y = x; }
};

// One number for what is negative, another for what is not.
struct exact_sign_op {
    template <typename CONFIG_T, class x_T, class y_T, class value_T>
    static void at(unsigned i, const x_T &x, y_T &y, const value_T *values) {
        if (x < 0) {
            y = values[0];
        } else {
            y = values[1];
        }
    }
};

// x between two limits on its own grid, where they are there.
struct exact_clip_op {
    template <typename CONFIG_T, class x_T, class y_T, class limit_T>
    static void at(unsigned i, const x_T &x, y_T &y, const limit_T *limits) {
        if (CONFIG_T::has_low && x < limits[0]) {
            y = limits[0];
        } else if (CONFIG_T::has_high && x > limits[1]) {
            y = limits[1];
        } else {
            y = x;
        }
    }
};

// x factor + bias.
struct exact_scale_op {
    template <typename CONFIG_T, class x_T, class y_T, class factor_T, class bias_T>
    static void at(unsigned i, const x_T &x, y_T &y, const factor_T *factors, const bias_T *biases) {
        y = x * factors[i % CONFIG_T::n_factors] + biases[i % CONFIG_T::n_biases];
    }
};

// x, or x slope where x is negative.
struct exact_prelu_op {
    template <typename CONFIG_T, class x_T, class y_T, class slope_T>
    static void at(unsigned i, const x_T &x, y_T &y, const slope_T *slopes) {
        if (x < 0) {
            y = x * slopes[i % CONFIG_T::n_slopes];
        } else {
            y = x;
        }
    }
};

// The entry that stands for x.
struct exact_table_op {
    template <typename CONFIG_T, class x_T, class y_T, class entry_T>
    static void at(unsigned i, const x_T &x, y_T &y, const entry_T *entries) {
        y = entries[exact_index(exact_raw(x) - CONFIG_T::first)];
    }
};

// x with a constant.
struct exact_add_op {
    template <typename CONFIG_T, class x_T, class y_T, class constant_T>
    static void at(unsigned i, const x_T &x, y_T &y, const constant_T *constants) {
        y = x + constants[i % CONFIG_T::n_constants];
    }
};

struct exact_subtract_op {
    template <typename CONFIG_T, class x_T, class y_T, class constant_T>
    static void at(unsigned i, const x_T &x, y_T &y, const constant_T *constants) {
        y = x - constants[i % CONFIG_T::n_constants];
    }
};

struct exact_subtract_from_op {
    template <typename CONFIG_T, class x_T, class y_T, class constant_T>
    static void at(unsigned i, const x_T &x, y_T &y, const constant_T *constants) {
        y = constants[i % CONFIG_T::n_constants] - x;
    }
};

struct exact_multiply_op {
    template <typename CONFIG_T, class x_T, class y_T, class constant_T>
    static void at(unsigned i, const x_T &x, y_T &y, const constant_T *constants) {
        y = x * constants[i % CONFIG_T::n_constants];
    }
};

struct exact_maximum_op {
    template <typename CONFIG_T, class x_T, class y_T, class constant_T>
    static void at(unsigned i, const x_T &x, y_T &y, const constant_T *constants) {
        if (x > constants[i % CONFIG_T::n_constants]) {
            y = x;
        } else {
            y = constants[i % CONFIG_T::n_constants];
        }
    }
};

struct exact_minimum_op {
    template <typename CONFIG_T, class x_T, class y_T, class constant_T>
    static void at(unsigned i, const x_T &x, y_T &y, const constant_T *constants) {
        if (x < constants[i % CONFIG_T::n_constants]) {
            y = x;
        } else {
            y = constants[i % CONFIG_T::n_constants];
        }
    }
};

// A whole tensor at a time, from arrays to arrays.

// y[o] = x[(o / factor) step + start] on every axis; the pad's value where that is outside of x.
// Transposes, slices, pads, repetitions, and any of them together. Four axes, the first ones of size 1.
struct exact_gather_op {
    template <typename CONFIG_T, class x_T, class y_T, class pad_T>
    static void all(const x_T *x, y_T *y, const pad_T *pad) {
        unsigned out = 0;
        for (int o0 = 0; o0 < CONFIG_T::out0; o0++) {
            int i0 = o0 / CONFIG_T::factor0 * CONFIG_T::step0 + CONFIG_T::start0;
            for (int o1 = 0; o1 < CONFIG_T::out1; o1++) {
                int i1 = o1 / CONFIG_T::factor1 * CONFIG_T::step1 + CONFIG_T::start1;
                for (int o2 = 0; o2 < CONFIG_T::out2; o2++) {
                    int i2 = o2 / CONFIG_T::factor2 * CONFIG_T::step2 + CONFIG_T::start2;
                    for (int o3 = 0; o3 < CONFIG_T::out3; o3++) {
                        int i3 = o3 / CONFIG_T::factor3 * CONFIG_T::step3 + CONFIG_T::start3;
                        bool inside = i0 >= 0 && i0 < CONFIG_T::size0 && i1 >= 0 && i1 < CONFIG_T::size1 && i2 >= 0 &&
                                      i2 < CONFIG_T::size2 && i3 >= 0 && i3 < CONFIG_T::size3;
                        if (inside) {
                            y[out] = x[i0 * CONFIG_T::stride0 + i1 * CONFIG_T::stride1 + i2 * CONFIG_T::stride2 +
                                       i3 * CONFIG_T::stride3];
                        } else {
                            y[out] = pad[0];
                        }
                        out++;
                    }
                }
            }
        }
    }
};

// y[o] = x[places[o] - 1], or the pad's value where a place is 0: any move there is.
struct exact_pick_op {
    template <typename CONFIG_T, class x_T, class y_T, class place_T, class pad_T>
    static void all(const x_T *x, y_T *y, const place_T *places, const pad_T *pad) {
        for (unsigned o = 0; o < CONFIG_T::n_out; o++) {
            unsigned place = exact_index(exact_raw(places[o]));
            if (place > 0) {
                y[o] = x[place - 1];
            } else {
                y[o] = pad[0];
            }
        }
    }
};

// Sum over a window; what lies outside counts nothing.
struct exact_sum_pool_op {
    template <typename CONFIG_T, class x_T, class y_T> static void all(const x_T *x, y_T *y) {
        for (int oh = 0; oh < CONFIG_T::out_height; oh++) {
            for (int ow = 0; ow < CONFIG_T::out_width; ow++) {
                for (int c = 0; c < CONFIG_T::channels; c++) {
                    y_T sum = 0;
                    for (int kh = 0; kh < CONFIG_T::window_height; kh++) {
                        for (int kw = 0; kw < CONFIG_T::window_width; kw++) {
                            int h = oh * CONFIG_T::stride_height + kh - CONFIG_T::pad_top;
                            int w = ow * CONFIG_T::stride_width + kw - CONFIG_T::pad_left;
                            if (h >= 0 && h < CONFIG_T::in_height && w >= 0 && w < CONFIG_T::in_width) {
                                sum += x[(h * CONFIG_T::in_width + w) * CONFIG_T::channels + c];
                            }
                        }
                    }
                    y[(oh * CONFIG_T::out_width + ow) * CONFIG_T::channels + c] = sum;
                }
            }
        }
    }
};

// Maximum over a window, of what lies inside.
struct exact_max_pool_op {
    template <typename CONFIG_T, class x_T, class y_T> static void all(const x_T *x, y_T *y) {
        for (int oh = 0; oh < CONFIG_T::out_height; oh++) {
            for (int ow = 0; ow < CONFIG_T::out_width; ow++) {
                for (int c = 0; c < CONFIG_T::channels; c++) {
                    x_T most = 0;
                    bool any = false;
                    for (int kh = 0; kh < CONFIG_T::window_height; kh++) {
                        for (int kw = 0; kw < CONFIG_T::window_width; kw++) {
                            int h = oh * CONFIG_T::stride_height + kh - CONFIG_T::pad_top;
                            int w = ow * CONFIG_T::stride_width + kw - CONFIG_T::pad_left;
                            if (h >= 0 && h < CONFIG_T::in_height && w >= 0 && w < CONFIG_T::in_width) {
                                x_T value = x[(h * CONFIG_T::in_width + w) * CONFIG_T::channels + c];
                                if (!any || value > most) {
                                    most = value;
                                }
                                any = true;
                            }
                        }
                    }
                    y[(oh * CONFIG_T::out_width + ow) * CONFIG_T::channels + c] = most;
                }
            }
        }
    }
};

// d = max - x; e = exp[d >> shift]; s = sum of e; y = e inverse[s >> shift]; indices stop at the last entry.
struct exact_softmax_op {
    template <typename CONFIG_T, class x_T, class y_T, class exp_T, class inverse_T>
    static void all(const x_T *x, y_T *y, const exp_T *exps, const inverse_T *inverses) {
        for (unsigned o = 0; o < CONFIG_T::n_outer; o++) {
            for (unsigned i = 0; i < CONFIG_T::n_inner; i++) {
                unsigned base = o * CONFIG_T::n_slice * CONFIG_T::n_inner + i;
                x_T most = x[base];
                for (unsigned k = 1; k < CONFIG_T::n_slice; k++) {
                    if (x[base + k * CONFIG_T::n_inner] > most) {
                        most = x[base + k * CONFIG_T::n_inner];
                    }
                }
                exp_T e[CONFIG_T::n_slice];
                #pragma HLS ARRAY_PARTITION variable=e complete
                typename CONFIG_T::sum_t sum = 0;
                for (unsigned k = 0; k < CONFIG_T::n_slice; k++) {
                    typename CONFIG_T::distance_t below = most - x[base + k * CONFIG_T::n_inner];
                    e[k] = exps[bounded(below, CONFIG_T::exp_shift, CONFIG_T::exp_last)];
                    sum += e[k];
                }
                inverse_T r = inverses[bounded(sum, CONFIG_T::inverse_shift, CONFIG_T::inverse_last)];
                for (unsigned k = 0; k < CONFIG_T::n_slice; k++) {
                    y[base + k * CONFIG_T::n_inner] = e[k] * r;
                }
            }
        }
    }

    template <class v_T> static unsigned bounded(const v_T &value, const unsigned shift, const int last) {
        auto index = exact_raw(value) >> shift;
        if (index > last) {
            return last;
        }
        return exact_index(index);
    }
};

template <class op_T, typename CONFIG_T, class x_T, class y_T, class... param_T>
void exact_whole(x_T *x, y_T *y, param_T *...params) {
    #pragma HLS INLINE
    op_T::template all<CONFIG_T>(x, y, params...);
}

template <class op_T, typename CONFIG_T, class x_T, class y_T, class... param_T>
void exact_whole(exact_stream<x_T> &xs, exact_stream<y_T> &ys, param_T *...params) {
    #pragma HLS INLINE
    static typename x_T::value_type x[CONFIG_T::n_in];
    static typename y_T::value_type y[CONFIG_T::n_out];
    exact_unpack(xs, x, CONFIG_T::n_in);
    op_T::template all<CONFIG_T>(x, y, params...);
    exact_pack(y, ys, CONFIG_T::n_out);
}

// a and b side by side: n_outer times n_a elements of the one, then n_b of the other.

template <class a_T, class b_T, class y_T, typename CONFIG_T> void exact_concat(a_T *a, b_T *b, y_T *y) {
    #pragma HLS INLINE
    for (unsigned o = 0; o < CONFIG_T::n_outer; o++) {
        #pragma HLS UNROLL
        for (unsigned i = 0; i < CONFIG_T::n_a; i++) {
            #pragma HLS UNROLL
            y[o * (CONFIG_T::n_a + CONFIG_T::n_b) + i] = a[o * CONFIG_T::n_a + i];
        }
        for (unsigned i = 0; i < CONFIG_T::n_b; i++) {
            #pragma HLS UNROLL
            y[o * (CONFIG_T::n_a + CONFIG_T::n_b) + CONFIG_T::n_a + i] = b[o * CONFIG_T::n_b + i];
        }
    }
}

template <class a_T, class b_T, class y_T, typename CONFIG_T>
void exact_concat(exact_stream<a_T> &as, exact_stream<b_T> &bs, exact_stream<y_T> &ys) {
    #pragma HLS INLINE
    if (a_T::size == CONFIG_T::n_a && b_T::size == CONFIG_T::n_b && y_T::size == CONFIG_T::n_a + CONFIG_T::n_b) {
        for (unsigned o = 0; o < CONFIG_T::n_outer; o++) {
            #pragma HLS PIPELINE
            a_T a = as.read();
            b_T b = bs.read();
            y_T y;
            for (unsigned i = 0; i < CONFIG_T::n_a; i++) {
                #pragma HLS UNROLL
                y[i] = a[i];
            }
            for (unsigned i = 0; i < CONFIG_T::n_b; i++) {
                #pragma HLS UNROLL
                y[CONFIG_T::n_a + i] = b[i];
            }
            ys.write(y);
        }
    } else {
        static typename a_T::value_type a[CONFIG_T::n_outer * CONFIG_T::n_a];
        static typename b_T::value_type b[CONFIG_T::n_outer * CONFIG_T::n_b];
        static typename y_T::value_type y[CONFIG_T::n_out];
        exact_unpack(as, a, CONFIG_T::n_outer * CONFIG_T::n_a);
        exact_unpack(bs, b, CONFIG_T::n_outer * CONFIG_T::n_b);
        exact_concat<typename a_T::value_type, typename b_T::value_type, typename y_T::value_type, CONFIG_T>(a, b, y);
        exact_pack(y, ys, CONFIG_T::n_out);
    }
}

// The same with a constant on one side.
struct exact_append_op {
    template <typename CONFIG_T, class x_T, class y_T, class constant_T>
    static void all(const x_T *x, y_T *y, const constant_T *constants) {
        exact_concat<const x_T, const constant_T, y_T, CONFIG_T>(x, constants, y);
    }
};

struct exact_prepend_op {
    template <typename CONFIG_T, class x_T, class y_T, class constant_T>
    static void all(const x_T *x, y_T *y, const constant_T *constants) {
        exact_concat<const constant_T, const x_T, y_T, CONFIG_T>(constants, x, y);
    }
};

} // namespace nnet

#endif
