#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
# The common work of vitis_hls, vitis-run and vivado_hls: what hls4ml's build_prj.tcl would make
# them do. SYNTH and COSIM are the script's options, LAYOUT the folder of reports.
PROJECT=$(sed -n 's/^set project_name "\(.*\)"/\1/p' project.tcl)
[ -n "$PROJECT" ] || { echo "ERROR: [TCL] can't read project.tcl"; exit 1; }
SOLUTION="${PROJECT}_prj/solution1"
if [ "$SYNTH" = 1 ]; then
  echo "***** C/RTL SYNTHESIS *****"
  misbehave
  mkdir -p "$SOLUTION/syn/verilog"
  echo "module $PROJECT(); endmodule" > "$SOLUTION/syn/verilog/$PROJECT.v"
  for suffix in xml rpt; do
    leave "$REPORTS/$LAYOUT/tagger_csynth.$suffix" "$SOLUTION/syn/report/${PROJECT}_csynth.$suffix"
  done
  [ ! -f "$REPORTS/$LAYOUT/csynth.rpt" ] ||
    leave "$REPORTS/$LAYOUT/csynth.rpt" "$SOLUTION/syn/report/csynth.rpt"
  sleep "${FAKE_SECONDS:-0}"
  echo "INFO: [HLS 200-789] **** Estimated Fmax: 274.05 MHz"
  echo "***** C/RTL SYNTHESIS COMPLETED IN 0h0m3s *****"
fi
if [ "$COSIM" = 1 ]; then
  echo "***** C/RTL SIMULATION *****"
  result="$REPORTS/$LAYOUT/tagger_cosim.rpt"
  [ "$BEHAVIOUR" != cosim_fail ] || result="$REPORTS/vitis_hls_2023.1/failed_cosim.rpt"
  leave "$result" "$SOLUTION/sim/report/${PROJECT}_cosim.rpt"
  echo "***** C/RTL VALIDATION *****"
  if [ "$BEHAVIOUR" = mismatch ]; then
    echo "ERROR: Test failed"
    echo "ERROR: - csim log:      ./tb_data/csim_results.log"
    exit 1
  fi
  echo "INFO: Test PASSED"
fi
exit 0
