# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A vectorised liquid-argon detector simulation to study networks on, and its toy neighbours.

Nothing is imported here: take what you need from the modules (`events`, `patches`, `profiles`,
`waveforms`, `calorimeter`, `calorimeter_images`, `jets`). Every generator has the shape
`(seed, n) -> arrays with an event id`, with settings where these are varied.
"""
