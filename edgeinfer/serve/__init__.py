# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Programs behind the open inference protocol (KServe v2), as clients of Triton speak it."""
