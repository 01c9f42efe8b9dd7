// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// Runs a project's top function over a file of raw integers, in several processes.
//
// The processes share memory: the samples, the results, and a counter that hands out samples. They
// are forks of one that has read the weights, for hls4ml keeps line buffers in static variables.

#ifndef CSIM_H_
#define CSIM_H_

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <pthread.h>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace csim {

[[noreturn]] inline void fail(const std::string &what) {
    std::fprintf(stderr, "error: %s\n", what.c_str());
    std::_Exit(1);
}

// A file as memory that forks share.
template <class T> T *mapped(const char *path, size_t count, bool writable) {
    int file = open(path, writable ? O_RDWR : O_RDONLY);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0) {
        fail(std::string(path) + ": " + std::strerror(errno));
    }
    if (static_cast<size_t>(status.st_size) != count * sizeof(T)) {
        fail(std::string(path) + ": is not of the size that the samples need");
    }
    if (count == 0) {
        return nullptr;
    }
    void *memory = mmap(nullptr, count * sizeof(T), writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (memory == MAP_FAILED) {
        fail(std::string(path) + ": " + std::strerror(errno));
    }
    return static_cast<T *>(memory);
}

struct Counters {
    std::atomic<unsigned long long> next, done;
};

// What a layer yields goes where the caller has asked for it; null where nobody has.
inline std::map<std::string, long long *> &taps() {
    static std::map<std::string, long long *> wanted;
    return wanted;
}

// Arrays and streams, to and from raw integers. `size_of` a word is in the header of the types.

template <class T> void fill(T *values, const long long *raw, size_t count) {
    for (size_t i = 0; i < count; i++) {
        put(values[i], raw[i]);
    }
}

template <class word_T> void fill(stream<word_T> &words, const long long *raw, size_t count) {
    for (size_t i = 0; i < count; i += size_of<word_T>()) {
        word_T word;
        for (size_t j = 0; j < size_of<word_T>(); j++) {
            put(word[j], raw[i + j]);
        }
        words.write(word);
    }
}

template <class T> void drain(T *values, long long *raw, size_t count) {
    for (size_t i = 0; i < count; i++) {
        raw[i] = get(values[i]);
    }
}

template <class word_T> void drain(stream<word_T> &words, long long *raw, size_t count) {
    for (size_t i = 0; i < count; i += size_of<word_T>()) {
        word_T word = words.read();
        for (size_t j = 0; j < size_of<word_T>(); j++) {
            raw[i + j] = get(word[j]);
        }
    }
    if (!is_empty(words)) {
        fail("a stream holds more than its layer's shape allows");
    }
}

template <class T> void tap(T *values, const char *layer, size_t count) {
    auto wanted = taps().find(layer);
    if (wanted != taps().end()) {
        drain(values, wanted->second, count);
    }
}

template <class word_T> void tap(stream<word_T> &words, const char *layer, size_t count) {
    auto wanted = taps().find(layer);
    if (wanted != taps().end()) {
        drain(words, wanted->second, count);
        fill(words, wanted->second, count);
    }
}

// Weights as hls4ml writes them: decimal numbers between commas, perhaps between braces of a header.
template <class T> void load(T *weights, size_t count, const std::string &path) {
    std::FILE *file = std::fopen(path.c_str(), "rb");
    if (file == nullptr) {
        fail(path + ": " + std::strerror(errno));
    }
    std::fseek(file, 0, SEEK_END);
    std::vector<char> text(std::ftell(file) + 1, '\0');
    std::rewind(file);
    size_t read = std::fread(text.data(), 1, text.size() - 1, file);
    std::fclose(file);
    if (read + 1 != text.size()) {
        fail(path + ": cannot be read");
    }
    const char *place = text.data();
    if (const char *list = std::strstr(place, "{{")) {
        place = list + 2;
    }
    auto over = [&]() { return *place == '\0' || *place == '}'; };
    for (size_t i = 0; i < count; i++) {
        bool negative = false;
        unsigned long long digits = 0;
        int behind = -1, places = 0; // digits behind the point, digits in all
        const char *start = place;
        for (; *place != ',' && !over(); place++) {
            if (*place == '-') {
                negative = true;
            } else if (*place == '.') {
                behind = 0;
            } else if (*place >= '0' && *place <= '9') {
                digits = digits * 10 + (*place - '0');
                places += digits != 0;
                behind += behind >= 0;
            } else if (*place != ' ' && *place != '\n' && *place != '\r') {
                fail(path + ": number " + std::to_string(i + 1) + " is no decimal number");
            }
        }
        // Up to 15 digits over a power of ten below 10^22, division of doubles is right to the last bit.
        static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
        double value;
        if (places <= 15 && behind <= 22) {
            value = static_cast<double>(digits) / tens[behind > 0 ? behind : 0];
            value = negative ? -value : value;
        } else {
            value = std::strtod(start, nullptr);
        }
        weights[i] = value;
        if (*place == ',') {
            place++;
        } else if (i + 1 < count) {
            fail(path + ": expected " + std::to_string(count) + " values but read only " + std::to_string(i + 1));
        }
    }
    if (!over()) {
        fail(path + ": holds more than " + std::to_string(count) + " values");
    }
}

// hls4ml keeps whole layers in local arrays, which an ordinary stack does not hold.
template <class F> void on_large_stack(F work) {
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    for (size_t bytes = size_t(4) << 30; bytes >= size_t(8) << 20; bytes /= 2) {
        pthread_attr_setstacksize(&attributes, bytes);
        auto call = [](void *given) -> void * {
            (*static_cast<F *>(given))();
            return nullptr;
        };
        if (pthread_create(&thread, &attributes, call, &work) == 0) {
            pthread_join(thread, nullptr);
            return;
        }
    }
    fail("no memory for a stack");
}

// Share samples out among processes until there are none left; the first that fails ends them all.
template <class F> int share(size_t samples, unsigned processes, Counters *counters, F run) {
    auto work = [&]() {
        while (true) {
            unsigned long long sample = counters->next.fetch_add(1);
            if (sample >= samples) {
                return;
            }
            run(sample);
            counters->done.fetch_add(1);
        }
    };
    if (processes <= 1) {
        on_large_stack(work);
        return 0;
    }
    pid_t parent = getpid();
    std::vector<pid_t> children;
    for (unsigned i = 0; i < processes; i++) {
        pid_t child = fork();
        if (child < 0) {
            fail(std::string("no process for the simulation: ") + std::strerror(errno));
        }
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != parent) {
                std::_Exit(1);
            }
            on_large_stack(work);
            std::fflush(stdout);
            std::_Exit(0);
        }
        children.push_back(child);
    }
    int worst = 0;
    for (size_t left = children.size(); left > 0; left--) {
        int status = 0;
        pid_t ended = wait(&status);
        if (WIFSIGNALED(status)) {
            std::fprintf(stderr, "error: a process of the simulation was ended by signal %d\n", WTERMSIG(status));
        }
        if (status != 0 && worst == 0) {
            worst = 1;
            for (pid_t child : children) {
                if (child != ended) {
                    kill(child, SIGKILL);
                }
            }
        }
    }
    return worst;
}

// A project: the sizes of its ports and layers, how its weights are read, how a sample is run.
struct Network {
    std::vector<size_t> inputs, outputs;
    std::map<std::string, size_t> layers;
    void (*load)(const std::string &weights);
    void (*run)(const long long *const *given, long long *const *found);
};

inline int simulate(const std::map<std::string, const Network *> &networks, int count, char **words) {
    if (count < 8 || networks.count(words[1]) == 0) {
        fail("usage: csim PROJECT INPUTS OUTPUTS COUNTERS WEIGHTS SAMPLES PROCESSES [LAYER...]");
    }
    const Network &network = *networks.at(words[1]);
    const size_t samples = std::strtoull(words[6], nullptr, 10);
    const unsigned processes = std::strtoul(words[7], nullptr, 10);
    std::vector<size_t> wanted = network.outputs;
    for (int i = 8; i < count; i++) {
        if (network.layers.count(words[i]) == 0) {
            fail(std::string("there is no layer ") + words[i]);
        }
        wanted.push_back(network.layers.at(words[i]));
    }
    size_t all_given = 0, all_wanted = 0;
    for (size_t size : network.inputs) {
        all_given += size;
    }
    for (size_t size : wanted) {
        all_wanted += size;
    }
    const long long *read = mapped<const long long>(words[2], samples * all_given, false);
    long long *write = mapped<long long>(words[3], samples * all_wanted, true);
    Counters *counters = mapped<Counters>(words[4], 1, true);
    network.load(words[5]);
    return share(samples, processes, counters, [&](size_t sample) {
        std::vector<const long long *> given;
        std::vector<long long *> found;
        size_t start = 0;
        for (size_t size : network.inputs) {
            given.push_back(read + start + sample * size);
            start += samples * size;
        }
        start = 0;
        for (size_t size : wanted) {
            found.push_back(write + start + sample * size);
            start += samples * size;
        }
        for (int i = 8; i < count; i++) {
            taps()[words[i]] = found[network.outputs.size() + i - 8];
        }
        network.run(given.data(), found.data());
    });
}

} // namespace csim

#endif
