# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A report's figures and tables as files for a paper: PDF, SVG, PNG; LaTeX, CSV, HEPData."""
