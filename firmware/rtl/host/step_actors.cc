// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// The cycle of every step of a design, for machines with a C++ compiler and without llvmlite. The
// rows are those of edgeinfer/targets/rtl/design/stepper.py, column by column.

#include <cstdint>

namespace {

constexpr int PORTS = 3;

struct Stream {
  int64_t *there, there_count, *freed, freed_count, depth, *reader, *writer;
};

struct Actor {
  int64_t left, at, length, *pattern, latency, release, free_at, is_wide, asked;
  Stream *inputs[PORTS], *outputs[PORTS];
};

inline bool has(int64_t word, int bit) { return word >> bit & 1; }

// An actor's steps until it is done or has to wait; whether it has moved.
template <int ports>
bool step_actor(Actor &actor) {
  int64_t done[PORTS], given[PORTS], left = actor.left, at = actor.at, free_at = actor.free_at;
  for (int port = 0; port < ports; ++port) {
    done[port] = actor.inputs[port]->freed_count;
    given[port] = actor.outputs[port]->there_count;
  }
  for (; left; --left) {
    const int64_t word = actor.pattern[at];
    int64_t when = free_at;
    for (int port = 0; port < ports; ++port) {
      const Stream &source = *actor.inputs[port], &sink = *actor.outputs[port];
      if (has(word, port)) {
        if (done[port] >= source.there_count) goto waits;
        if (source.there[done[port]] > when) when = source.there[done[port]];
      }
      if (has(word, 2 * PORTS + port) && given[port] >= sink.depth) {
        const int64_t needed = given[port] - sink.depth;
        if (needed >= sink.freed_count) goto waits;
        if (sink.freed[needed] + 1 > when) when = sink.freed[needed] + 1;
      }
    }
    free_at = when + (word >> 4 * PORTS);
    for (int port = 0; port < ports; ++port) {
      Stream &source = *actor.inputs[port], &sink = *actor.outputs[port];
      if (has(word, PORTS + port)) source.freed[done[port]++] = free_at + actor.release;
      if (has(word, 3 * PORTS + port)) sink.there[given[port]++] = when + actor.latency;
    }
    if (++at == actor.length) at = 0;
  }
waits:
  actor.left = left, actor.at = at, actor.free_at = free_at;
  bool has_moved = false;
  for (int port = 0; port < ports; ++port) {
    Stream &source = *actor.inputs[port], &sink = *actor.outputs[port];
    if (done[port] != source.freed_count) {
      source.freed_count = done[port];
      *source.writer = 1;
      has_moved = true;
    }
    if (given[port] != sink.there_count) {
      sink.there_count = given[port];
      *sink.reader = 1;
      has_moved = true;
    }
  }
  return has_moved;
}

}  // namespace

// Rounds over the actors that are asked, until none has moved.
extern "C" void step_actors(Actor *actors, int64_t count) {
  for (bool has_moved = true; has_moved;) {
    has_moved = false;
    for (int64_t place = 0; place < count; ++place) {
      Actor &actor = actors[place];
      if (!actor.asked) continue;
      actor.asked = 0;
      has_moved |= actor.is_wide ? step_actor<PORTS>(actor) : step_actor<1>(actor);
    }
  }
}
