// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// Sparse images: which pixels are lit, and layers that work at those alone.
//
// The places of an image's sites are a list of a fixed number of words, {row + 1, column}. A frame with
// fewer sites has words of {0, 0} after its last. Values at sites are words in the order of the list.
// A block keeps the words that it reads in a memory, with a map of the image that says in which row of
// the memory a pixel lies, plus one. It clears the map site by site, so that the time it takes follows
// the sites. Each block is written once, for arrays (io_parallel) and for streams (io_stream).

#ifndef NNET_SITES_H_
#define NNET_SITES_H_

#include <cstddef>
#include <type_traits>

#include "nnet_exact_types.h"

namespace nnet {

// The type of the elements of an array or of a stream's words.
template <class port_T> struct site_port;

template <class x_T> struct site_port<x_T *> {
    typedef typename std::remove_const<x_T>::type element;
};

template <class x_T, std::size_t count> struct site_port<x_T[count]> {
    typedef typename std::remove_const<x_T>::type element;
};

template <class word_T> struct site_port<exact_stream<word_T>> {
    typedef typename word_T::value_type element;
};

// Word i of an array, or the next one of a stream.

template <int size, class x_T> void site_read(x_T *x, int i, typename std::remove_const<x_T>::type *word) {
    #pragma HLS INLINE
    for (int j = 0; j < size; j++) {
        #pragma HLS UNROLL
        word[j] = x[i * size + j];
    }
}

template <int size, class word_T>
void site_read(exact_stream<word_T> &words, int i, typename word_T::value_type *word) {
    #pragma HLS INLINE
    static_assert(word_T::size == size, "a word is a pixel");
    word_T next = words.read();
    for (int j = 0; j < size; j++) {
        #pragma HLS UNROLL
        word[j] = next[j];
    }
}

template <int size, class y_T> void site_write(y_T *y, int i, const y_T *word) {
    #pragma HLS INLINE
    for (int j = 0; j < size; j++) {
        #pragma HLS UNROLL
        y[i * size + j] = word[j];
    }
}

template <int size, class word_T>
void site_write(exact_stream<word_T> &words, int i, const typename word_T::value_type *word) {
    #pragma HLS INLINE
    static_assert(word_T::size == size, "a word is a pixel");
    word_T next;
    for (int j = 0; j < size; j++) {
        #pragma HLS UNROLL
        next[j] = word[j];
    }
    words.write(next);
}

// A number of a list, and the other way.

template <class place_T> int site_number(const place_T &place) {
    #pragma HLS INLINE
    return exact_index(exact_raw(place));
}

template <class place_T> place_T site_place(int number) {
    #pragma HLS INLINE
    place_T place = number;
    return place;
}

// Whether some channel of a pixel is above the threshold.
template <typename CONFIG_T, class x_T, class limit_T> bool site_lit(const x_T *pixel, const limit_T *limits) {
    #pragma HLS INLINE
    bool lit = CONFIG_T::always;
    for (int c = 0; c < CONFIG_T::channels; c++) {
        #pragma HLS UNROLL
        if (pixel[c] > limits[0]) {
            lit = true;
        }
    }
    return lit;
}

// How many lit pixels of an image there are beyond the first ones, which stay.
template <typename CONFIG_T, class x_P, class y_P, class limit_T>
void site_dropped(x_P &x, y_P &y, const limit_T *limits) {
    typename site_port<x_P>::element pixel[CONFIG_T::channels];
    #pragma HLS ARRAY_PARTITION variable=pixel complete
    int count = 0;
    for (int i = 0; i < CONFIG_T::pixels; i++) {
        #pragma HLS PIPELINE
        site_read<CONFIG_T::channels>(x, i, pixel);
        if (site_lit<CONFIG_T>(pixel, limits)) {
            count++;
        }
    }
    typename site_port<y_P>::element dropped[1] = {0};
    if (count > CONFIG_T::most) {
        dropped[0] = count - CONFIG_T::most;
    }
    site_write<1>(y, 0, dropped);
}

// 1 at the first lit pixels, else 0.
template <typename CONFIG_T, class x_P, class y_P, class limit_T>
void site_first(x_P &x, y_P &y, const limit_T *limits) {
    typename site_port<x_P>::element pixel[CONFIG_T::channels];
    #pragma HLS ARRAY_PARTITION variable=pixel complete
    int count = 0;
    for (int i = 0; i < CONFIG_T::pixels; i++) {
        #pragma HLS PIPELINE
        site_read<CONFIG_T::channels>(x, i, pixel);
        typename site_port<y_P>::element stays[1] = {0};
        if (site_lit<CONFIG_T>(pixel, limits) && count < CONFIG_T::most) {
            stays[0] = 1;
            count++;
        }
        site_write<1>(y, i, stays);
    }
}

// The places where a mask is not zero, which are no more than the list has words.
template <typename CONFIG_T, class mask_P, class list_P> void site_list(mask_P &mask, list_P &list) {
    typedef typename site_port<list_P>::element place_T;
    int count = 0;
    for (int row = 0; row < CONFIG_T::height; row++) {
        for (int column = 0; column < CONFIG_T::width; column++) {
            #pragma HLS PIPELINE
            typename site_port<mask_P>::element lit[1];
            site_read<1>(mask, row * CONFIG_T::width + column, lit);
            if (lit[0] != 0 && count < CONFIG_T::sites) {
                place_T place[2] = {site_place<place_T>(row + 1), site_place<place_T>(column)};
                site_write<2>(list, count, place);
                count++;
            }
        }
    }
    for (int i = count; i < CONFIG_T::sites; i++) {
        #pragma HLS LOOP_TRIPCOUNT min=0 max=CONFIG_T::sites
        #pragma HLS PIPELINE
        place_T none[2] = {0, 0};
        site_write<2>(list, i, none);
    }
}

// The k-th window that may see a pixel, and whether it does.
template <typename CONFIG_T> bool site_seen(int row, int column, int k, int &h, int &w) {
    #pragma HLS INLINE
    row += CONFIG_T::pad_top;
    column += CONFIG_T::pad_left;
    h = row / CONFIG_T::stride_height - k / CONFIG_T::windows_across;
    w = column / CONFIG_T::stride_width - k % CONFIG_T::windows_across;
    return h >= 0 && h < CONFIG_T::out_height && w >= 0 && w < CONFIG_T::out_width &&
           row - h * CONFIG_T::stride_height < CONFIG_T::window_height &&
           column - w * CONFIG_T::stride_width < CONFIG_T::window_width;
}

// The places of the windows that see a site, in the order in which they are first seen.
template <typename CONFIG_T, class fine_P, class list_P> void site_coarsen(fine_P &fine, list_P &list) {
    typedef typename site_port<list_P>::element place_T;
    static bool seen[CONFIG_T::out_height][CONFIG_T::out_width];
    static place_T places[CONFIG_T::out_sites][2];
    int count = 0;
    for (int i = 0; i < CONFIG_T::sites; i++) {
        typename site_port<fine_P>::element place[2];
        site_read<2>(fine, i, place);
        if (place[0] != 0) {
            for (int k = 0; k < CONFIG_T::windows_down * CONFIG_T::windows_across; k++) {
                #pragma HLS PIPELINE
                int h, w;
                bool sees = site_seen<CONFIG_T>(site_number(place[0]) - 1, site_number(place[1]), k, h, w);
                if (sees && !seen[h][w]) {
                    seen[h][w] = true;
                    places[count][0] = site_place<place_T>(h + 1);
                    places[count][1] = site_place<place_T>(w);
                    count++;
                }
            }
        }
    }
    for (int i = 0; i < CONFIG_T::out_sites; i++) {
        #pragma HLS PIPELINE
        place_T place[2] = {0, 0};
        if (i < count) {
            place[0] = places[i][0];
            place[1] = places[i][1];
            seen[site_number(place[0]) - 1][site_number(place[1])] = false;
        }
        site_write<2>(list, i, place);
    }
}

// Values at sites, where they are in the image, and the sites again to forget them.
template <typename CONFIG_T, class x_T> struct site_memory {
    x_T words[CONFIG_T::sites][CONFIG_T::channels];
    typename CONFIG_T::row_t rows[CONFIG_T::height][CONFIG_T::width];
    int places[CONFIG_T::sites][2];
    int count;

    template <class x_P, class list_P> void read(x_P &x, list_P &list) {
        #pragma HLS INLINE
        count = 0;
        for (int i = 0; i < CONFIG_T::sites; i++) {
            #pragma HLS PIPELINE
            site_read<CONFIG_T::channels>(x, i, words[i]);
            typename site_port<list_P>::element place[2];
            site_read<2>(list, i, place);
            if (place[0] != 0) {
                places[i][0] = site_number(place[0]) - 1;
                places[i][1] = site_number(place[1]);
                rows[places[i][0]][places[i][1]] = i + 1;
                count = i + 1;
            }
        }
    }

    // The number of the word at a pixel, from 1; 0 where there is none, or no pixel.
    int row(int h, int w) const {
        #pragma HLS INLINE
        if (h < 0 || h >= CONFIG_T::height || w < 0 || w >= CONFIG_T::width) {
            return 0;
        }
        return exact_index(exact_raw(rows[h][w]));
    }

    void clear() {
        #pragma HLS INLINE
        for (int i = 0; i < count; i++) {
            #pragma HLS LOOP_TRIPCOUNT min=0 max=CONFIG_T::sites
            #pragma HLS PIPELINE
            rows[places[i][0]][places[i][1]] = 0;
        }
    }
};

// All taps of the window around a site as channels; zero where a tap has no site.
template <typename CONFIG_T, class x_T, class y_T>
void site_taps(const site_memory<CONFIG_T, x_T> &memory, int row, int column, y_T *taps) {
    #pragma HLS INLINE
    for (int k = 0; k < CONFIG_T::window_height * CONFIG_T::window_width; k++) {
        #pragma HLS PIPELINE
        int h = row * CONFIG_T::stride_height - CONFIG_T::pad_top + k / CONFIG_T::window_width * CONFIG_T::step_height;
        int w = column * CONFIG_T::stride_width - CONFIG_T::pad_left + k % CONFIG_T::window_width * CONFIG_T::step_width;
        int number = memory.row(h, w);
        for (int c = 0; c < CONFIG_T::channels; c++) {
            #pragma HLS UNROLL
            y_T value = 0;
            if (number > 0) {
                value = memory.words[number - 1][c];
            }
            taps[k * CONFIG_T::channels + c] = value;
        }
    }
}

template <typename CONFIG_T, class x_T, class y_P>
void site_window_at(const site_memory<CONFIG_T, x_T> &memory, int i, bool any, int row, int column, y_P &y) {
    #pragma HLS INLINE
    static const int size = CONFIG_T::window_height * CONFIG_T::window_width * CONFIG_T::channels;
    typename site_port<y_P>::element taps[size];
    #pragma HLS ARRAY_PARTITION variable=taps complete
    if (any) {
        site_taps<CONFIG_T>(memory, row, column, taps);
    } else {
        for (int j = 0; j < size; j++) {
            #pragma HLS UNROLL
            taps[j] = 0;
        }
    }
    site_write<size>(y, i, taps);
}

// Windows around the sites themselves.
template <typename CONFIG_T, class x_P, class list_P, class y_P> void site_window(x_P &x, list_P &list, y_P &y) {
    static site_memory<CONFIG_T, typename site_port<x_P>::element> memory;
    #pragma HLS ARRAY_PARTITION variable=memory.words dim=2 complete
    memory.read(x, list);
    for (int i = 0; i < CONFIG_T::sites; i++) {
        bool any = i < memory.count;
        site_window_at<CONFIG_T>(memory, i, any, any ? memory.places[i][0] : 0, any ? memory.places[i][1] : 0, y);
    }
    memory.clear();
}

// Windows around other sites, which may be coarser ones.
template <typename CONFIG_T, class x_P, class list_P, class others_P, class y_P>
void site_window(x_P &x, list_P &list, others_P &others, y_P &y) {
    static site_memory<CONFIG_T, typename site_port<x_P>::element> memory;
    #pragma HLS ARRAY_PARTITION variable=memory.words dim=2 complete
    memory.read(x, list);
    for (int i = 0; i < CONFIG_T::out_sites; i++) {
        typename site_port<others_P>::element place[2];
        site_read<2>(others, i, place);
        site_window_at<CONFIG_T>(memory, i, place[0] != 0, site_number(place[0]) - 1, site_number(place[1]), y);
    }
    memory.clear();
}

// The sum, or the largest, of what each coarser site's window sees. Each value goes to the windows that
// see it; the largest of a window that sees fewer values than it has taps is at least zero.
template <typename CONFIG_T, class x_P, class list_P, class others_P, class y_P>
void site_pool(x_P &x, list_P &list, others_P &others, y_P &y) {
    static typename site_port<y_P>::element words[CONFIG_T::out_sites][CONFIG_T::channels];
    #pragma HLS ARRAY_PARTITION variable=words dim=2 complete
    static typename CONFIG_T::row_t rows[CONFIG_T::out_height][CONFIG_T::out_width];
    static int places[CONFIG_T::out_sites][2];
    static int counts[CONFIG_T::out_sites];
    for (int i = 0; i < CONFIG_T::out_sites; i++) {
        #pragma HLS PIPELINE
        typename site_port<others_P>::element place[2];
        site_read<2>(others, i, place);
        places[i][0] = site_number(place[0]) - 1;
        places[i][1] = site_number(place[1]);
        counts[i] = 0;
        for (int c = 0; c < CONFIG_T::channels; c++) {
            #pragma HLS UNROLL
            words[i][c] = 0;
        }
        if (place[0] != 0) {
            rows[places[i][0]][places[i][1]] = i + 1;
        }
    }
    for (int i = 0; i < CONFIG_T::sites; i++) {
        typename site_port<x_P>::element word[CONFIG_T::channels];
        #pragma HLS ARRAY_PARTITION variable=word complete
        typename site_port<list_P>::element place[2];
        site_read<CONFIG_T::channels>(x, i, word);
        site_read<2>(list, i, place);
        if (place[0] != 0) {
            for (int k = 0; k < CONFIG_T::windows_down * CONFIG_T::windows_across; k++) {
                #pragma HLS PIPELINE
                int h, w;
                if (site_seen<CONFIG_T>(site_number(place[0]) - 1, site_number(place[1]), k, h, w)) {
                    int row = exact_index(exact_raw(rows[h][w])) - 1;
                    for (int c = 0; c < CONFIG_T::channels; c++) {
                        #pragma HLS UNROLL
                        if (CONFIG_T::adds) {
                            words[row][c] += word[c];
                        } else if (counts[row] == 0 || word[c] > words[row][c]) {
                            words[row][c] = word[c];
                        }
                    }
                    counts[row]++;
                }
            }
        }
    }
    for (int i = 0; i < CONFIG_T::out_sites; i++) {
        #pragma HLS PIPELINE
        typename site_port<y_P>::element word[CONFIG_T::channels];
        bool whole = CONFIG_T::adds || counts[i] == CONFIG_T::window_height * CONFIG_T::window_width;
        for (int c = 0; c < CONFIG_T::channels; c++) {
            #pragma HLS UNROLL
            word[c] = words[i][c];
            if (!whole && word[c] < 0) {
                word[c] = 0;
            }
        }
        if (places[i][0] >= 0) {
            rows[places[i][0]][places[i][1]] = 0;
        }
        site_write<CONFIG_T::channels>(y, i, word);
    }
}

// The part of a coarser site's channels that each finer site is.
template <typename CONFIG_T, class x_P, class list_P, class others_P, class y_P, class fill_T>
void site_fine(x_P &x, list_P &list, others_P &others, y_P &y, const fill_T *fill) {
    static const int size = CONFIG_T::channels / (CONFIG_T::factor_height * CONFIG_T::factor_width);
    static site_memory<CONFIG_T, typename site_port<x_P>::element> memory;
    #pragma HLS ARRAY_PARTITION variable=memory.words dim=2 complete
    memory.read(x, list);
    for (int i = 0; i < CONFIG_T::out_sites; i++) {
        #pragma HLS PIPELINE
        typename site_port<others_P>::element place[2];
        site_read<2>(others, i, place);
        typename site_port<y_P>::element word[size];
        int number = 0, part = 0;
        if (place[0] != 0) {
            int row = site_number(place[0]) - 1, column = site_number(place[1]);
            number = memory.row(row / CONFIG_T::factor_height, column / CONFIG_T::factor_width);
            part = row % CONFIG_T::factor_height * CONFIG_T::factor_width + column % CONFIG_T::factor_width;
        }
        for (int c = 0; c < size; c++) {
            #pragma HLS UNROLL
            if (number > 0) {
                word[c] = memory.words[number - 1][part * size + c];
            } else {
                word[c] = fill[0];
            }
        }
        site_write<size>(y, i, word);
    }
    memory.clear();
}

// Windows around sites in a value that is there for every pixel; zero outside of the image.
template <typename CONFIG_T, class x_P, class list_P, class y_P, class fill_T>
void site_look(x_P &x, list_P &list, y_P &y, const fill_T *fill) {
    typedef typename site_port<x_P>::element x_T;
    typedef typename site_port<y_P>::element y_T;
    static const int taps = CONFIG_T::window_height * CONFIG_T::window_width;
    static x_T words[CONFIG_T::height * CONFIG_T::width][CONFIG_T::channels];
    #pragma HLS ARRAY_PARTITION variable=words dim=2 complete
    for (int i = 0; i < CONFIG_T::height * CONFIG_T::width; i++) {
        #pragma HLS PIPELINE
        site_read<CONFIG_T::channels>(x, i, words[i]);
    }
    for (int i = 0; i < CONFIG_T::out_sites; i++) {
        typename site_port<list_P>::element place[2];
        site_read<2>(list, i, place);
        y_T word[taps * CONFIG_T::channels];
        #pragma HLS ARRAY_PARTITION variable=word complete
        for (int j = 0; j < taps * CONFIG_T::channels; j++) {
            #pragma HLS UNROLL
            word[j] = fill[0];
        }
        if (place[0] != 0) {
            int row = (site_number(place[0]) - 1) * CONFIG_T::stride_height - CONFIG_T::pad_top;
            int column = site_number(place[1]) * CONFIG_T::stride_width - CONFIG_T::pad_left;
            for (int k = 0; k < taps; k++) {
                #pragma HLS PIPELINE
                int h = row + k / CONFIG_T::window_width * CONFIG_T::step_height;
                int w = column + k % CONFIG_T::window_width * CONFIG_T::step_width;
                bool inside = h >= 0 && h < CONFIG_T::height && w >= 0 && w < CONFIG_T::width;
                for (int c = 0; c < CONFIG_T::channels; c++) {
                    #pragma HLS UNROLL
                    y_T value = 0;
                    if (inside) {
                        value = words[h * CONFIG_T::width + w][c];
                    }
                    word[k * CONFIG_T::channels + c] = value;
                }
            }
        }
        site_write<taps * CONFIG_T::channels>(y, i, word);
    }
}

// A value for every pixel again, zero beside the sites.
template <typename CONFIG_T, class x_P, class list_P, class y_P> void site_spread(x_P &x, list_P &list, y_P &y) {
    static site_memory<CONFIG_T, typename site_port<x_P>::element> memory;
    #pragma HLS ARRAY_PARTITION variable=memory.words dim=2 complete
    memory.read(x, list);
    for (int h = 0; h < CONFIG_T::height; h++) {
        for (int w = 0; w < CONFIG_T::width; w++) {
            #pragma HLS PIPELINE
            int number = memory.row(h, w);
            typename site_port<y_P>::element word[CONFIG_T::channels];
            for (int c = 0; c < CONFIG_T::channels; c++) {
                #pragma HLS UNROLL
                word[c] = 0;
                if (number > 0) {
                    word[c] = memory.words[number - 1][c];
                }
            }
            site_write<CONFIG_T::channels>(y, h * CONFIG_T::width + w, word);
        }
    }
    memory.clear();
}

} // namespace nnet

#endif
