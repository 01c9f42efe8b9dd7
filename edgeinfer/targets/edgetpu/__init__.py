# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The Edge TPU target: int8 models, and what the vendor's compiler would make of them."""
