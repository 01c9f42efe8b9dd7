# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A search for bit widths: what may vary, what is judged, and what came of it."""
