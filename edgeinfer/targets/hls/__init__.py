# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The HLS target: projects made by hls4ml from a Program, simulated, explained and costed."""
