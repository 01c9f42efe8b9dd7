# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The vendors' tools: which there are, and a project that hls4ml emitted taken through them."""
