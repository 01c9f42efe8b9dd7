# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The rest of the library for people: what the command line does beside `edgeinfer.api`."""
