# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The RTL target: a streaming design in plain Verilog, simulated cycle by cycle."""
