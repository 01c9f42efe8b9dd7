# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Files to arrays: samples, the experiments' formats, streams."""
