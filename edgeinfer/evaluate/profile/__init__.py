# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What goes on inside a quantized network, beside its float twin: data only, nothing is drawn."""
