// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
// A stand-in for the vendor's libedgetpu: one device, and a delegate that takes no operator.
// FAKE_EDGETPU_DEVICE says how it behaves: "one", "none", "crash", or "refuse" to be loaded.
#include <stdlib.h>
#include <string.h>

struct device {
  int type;
  const char *path;
};

static int mood(const char *wanted) {
  const char *said = getenv("FAKE_EDGETPU_DEVICE");
  return said && strcmp(said, wanted) == 0;
}

struct device *edgetpu_list_devices(size_t *count) {
  if (mood("crash")) abort();
  *count = mood("none") ? 0 : 1;
  if (*count == 0) return NULL;
  struct device *found = malloc(sizeof *found);
  found->type = 1;
  found->path = "/sys/bus/usb/devices/2-1";
  return found;
}

void edgetpu_free_devices(struct device *devices) { free(devices); }

const char *edgetpu_version(void) { return "BuildLabel(fake), RuntimeVersion(14)"; }

struct delegate {
  void *data;
  int (*prepare)(void *, struct delegate *);
  void *copy_from, *copy_to, *free_handle;
  long long flags;
  void *opaque[4];
};

static int prepare(void *context, struct delegate *delegate) {
  (void)context;
  (void)delegate;
  return 0;
}

struct delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count,
                                               void (*report)(const char *)) {
  (void)keys;
  (void)values;
  (void)count;
  if (mood("refuse")) {
    report("no device would have this");
    return NULL;
  }
  struct delegate *made = calloc(1, sizeof *made);
  made->prepare = prepare;
  return made;
}

void tflite_plugin_destroy_delegate(struct delegate *delegate) { free(delegate); }
