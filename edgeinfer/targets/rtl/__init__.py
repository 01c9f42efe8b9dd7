# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The RTL target: streaming blocks in Verilog, folded to a goal, simulated to the cycle, routed."""
