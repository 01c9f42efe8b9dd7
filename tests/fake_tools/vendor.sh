#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
# What the stand-ins for vendors' tools share. They are steered by the environment:
#   FAKE_RECORD     a file: each start adds its name, folder, arguments and licence variable
#   FAKE_BEHAVIOUR  ok (default), fail, hang, licence, crash, silent, truncated, mismatch, cosim_fail
#   FAKE_VERSION    whose reports are left; a default for each tool
HERE=$(dirname "$(readlink -f "$0")")
NAME=$(basename "$0")
REPORTS="$HERE/reports"
BEHAVIOUR=${FAKE_BEHAVIOUR:-ok}

record() {
  [ -n "$FAKE_RECORD" ] || return 0
  { printf '%s\t%s\t%s' "$NAME" "$PWD" "${XILINXD_LICENSE_FILE:-}"
    for argument in "$@"; do printf '\t%s' "$argument"; done
    printf '\n'; } >> "$FAKE_RECORD"
}

# Leave a report of the fixture project `tagger`, under the name of this one.
leave() {
  mkdir -p "$(dirname "$2")"
  sed "s/tagger/$PROJECT/g" "$1" > "$2"
  if [ "$BEHAVIOUR" = truncated ]; then
    head -c 1500 "$2" > "$2.cut" && mv "$2.cut" "$2"
  fi
}

# Misbehave as asked, at the stage of the work where such things happen.
misbehave() {
  case "$BEHAVIOUR" in
    fail)
      echo "INFO: [HLS 200-10] Analyzing design file"
      echo "WARNING: no error was expected here"
      echo "ERROR: [XFORM 203-504] Stop unrolling loop 'Product1' because it may cause large runtime"
      echo "ERROR: [HLS 200-70] Pre-synthesis failed."
      exit 1 ;;
    hang)
      echo "INFO: [SCHED 204-11] Starting scheduling ..."
      trap '' TERM
      sleep 600 &
      wait; wait ;;
    licence)
      echo "Attempting to get a license for feature 'Synthesis' and/or device 'xcku115'"
      echo "WARNING: [Common 17-348] Failed to get the license for feature 'Synthesis'"
      echo "ERROR: [Common 17-345] A valid license was not found for feature 'Synthesis' and/or device 'xcku115'."
      exit 1 ;;
    crash)
      echo "INFO: about to stumble"
      kill -SEGV $$ ;;
    silent)
      echo "INFO: [HLS 200-112] Total elapsed time: 3 seconds"
      exit 0 ;;
  esac
}
