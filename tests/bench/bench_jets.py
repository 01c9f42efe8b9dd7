# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How good a tagger of the toy jets can be, and how much that hangs on the jets that judge it.

    python -m tests.bench.bench_jets [--draws 12] [--limits 2]

The same networks on several draws of 50,000 jets: the float jet tagger and its shipped form in 6
bits. The first draw is the one that `bench_learned` judges on. For the first `--limits` of them
also the limit: the area under the curve of the true probabilities, which no network exceeds but by
chance. They follow from how jets are made: what is hidden of a jet (mass, prongs, radiation) is
summed over on a grid, each place weighted by how likely it is for a kind and how well it explains
the features.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from edgeinfer.base.metrics import macro_auc
from edgeinfer.lartpc import jets as toy
from edgeinfer.precision.search.objective import objective_on
from edgeinfer.run.learned import lower_file
from edgeinfer.zoo.reference import load_reference
from reports.make.quantization import FOLDER, TEST_SEED
from tests.bench.bench_learned import MODEL, TESTING, jets

Floats = NDArray[np.float32]
OTHERS = 101  # seed of the second draw; the third has the next one
MASS_STEP, RADIATION_STEP = 0.06, 0.07  # well below what the blur leaves of both
LEAST = 1e-9  # of a kind's probability, for a place of the grid to count
AT_ONCE = 250  # jets


def hidden_grid() -> tuple[Floats, Floats]:
    """Places of what is hidden: the features of each without blur, and how likely it is for each
    kind of jet. The names are those of `edgeinfer.lartpc.jets`."""
    axes = (
        np.arange(-7.5, 7.5, MASS_STEP),
        np.arange(1.0, 5.0),
        np.arange(-5.0, 4.0, RADIATION_STEP),
    )
    m, prongs, r = (values.ravel() for values in np.meshgrid(*axes, indexing="ij"))
    radiation = 48.0 * np.exp(0.4 * r)
    features = toy._features(90.0 * np.exp(0.4 * m), prongs, radiation)
    weights = []
    for kind in range(len(toy.CLASSES)):
        centre, width = np.log(toy._MASS[kind] / 90.0) / 0.4, toy._SPREAD[kind] / 0.4
        of_mass = np.exp(-0.5 * ((m - centre) / width) ** 2) / width / np.sqrt(2.0 * np.pi)
        scale = toy._MULTIPLICITY[kind] / 8.0
        log_density = 7.0 * np.log(radiation) - radiation / scale - gammaln(8.0)
        of_radiation = np.exp(log_density - 8.0 * np.log(scale)) * radiation * 0.4
        of_prongs = sum(
            share * (prongs == np.clip(toy._PRONGS[kind] + change, 1.0, 4.0))
            for change, share in ((-1.0, 0.20), (0.0, 0.65), (1.0, 0.15))
        )
        weights.append(of_mass * of_radiation * of_prongs * MASS_STEP * RADIATION_STEP)
    whole = np.stack(weights, axis=1)
    assert np.allclose(whole.sum(axis=0), 1.0, atol=1e-3), whole.sum(axis=0)
    kept = whole.max(axis=1) > LEAST
    return features[kept].astype(np.float32), whole[kept].astype(np.float32)


def true_probabilities(x: Floats, grid: tuple[Floats, Floats]) -> NDArray[np.float64]:
    """Of each jet, how likely it is of each kind."""
    features, weights = grid
    sharpness = np.float32(toy.JetSettings().blur ** -2)
    half_norm = 0.5 * sharpness * (features * features).sum(axis=1)
    steered = sharpness * features.T
    rows = []
    for start in range(0, len(x), AT_ONCE):
        fit = x[start : start + AT_ONCE] @ steered - half_norm
        np.exp(fit - fit.max(axis=1, keepdims=True), out=fit)
        rows.append(fit @ weights)
    whole = np.concatenate(rows).astype(np.float64)
    return np.asarray(whole / whole.sum(axis=1, keepdims=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row for each draw, and how far the draws are apart."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--draws", type=int, default=12)
    parser.add_argument("--limits", type=int, default=2)
    options = parser.parse_args(arguments)
    graph, shipped = load_reference(MODEL), lower_file(FOLDER / f"{MODEL}-6bit.keras")
    grid = hidden_grid()
    rows = []
    for number in range(options.draws):
        seed = TEST_SEED if not number else OTHERS + number - 1
        samples = jets(seed, TESTING)
        objective = objective_on(graph, samples)
        six = objective.of_program(shipped.program, shipped.recipe)
        rows.append((objective.exact_score, six))
        text = f"seed {seed:3}: AUC {objective.exact_score:.4f} as floats, {six:.4f} in 6 bits"
        if number < options.limits:
            (x,), (kinds,) = samples.inputs.values(), samples.labels.values()
            limit = macro_auc(true_probabilities(x.astype(np.float32), grid), kinds)
            text += f", limit {limit:.4f}"
        print(text, flush=True)
    means, spreads = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1)
    for name, mean, spread in zip(("floats", "6 bits"), means, spreads, strict=True):
        print(f"{name}: {mean:.4f} on average, standard deviation between draws {spread:.4f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
