# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Who does many jobs, processes of this machine or a cluster of machines, and a journal of them."""
