// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
//
// Loaded before a program that runs on a Zynq board: its /dev/mem, its buffer and the buffer's address are files of the
// folder that C_BOARD names.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *file_of(const char *path, char *room, size_t size) {
    const char *name = strcmp(path, "/dev/mem") == 0        ? "mem"
                       : strcmp(path, "/dev/udmabuf0") == 0 ? "buffer"
                       : strstr(path, "/phys_addr") != NULL ? "address"
                                                            : NULL;
    if (name == NULL) return path;
    snprintf(room, size, "%s/%s", getenv("C_BOARD"), name);
    return room;
}

int open(const char *path, int flags, ...) {
    char room[4096];
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    return real(file_of(path, room, sizeof room), flags, 0600);
}

FILE *fopen(const char *path, const char *mode) {
    char room[4096];
    FILE *(*real)(const char *, const char *) = dlsym(RTLD_NEXT, "fopen");
    return real(file_of(path, room, sizeof room), mode);
}
