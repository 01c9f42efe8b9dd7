# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Studies: many recipes, foldings and targets of a model, tried in parallel, resumable."""
