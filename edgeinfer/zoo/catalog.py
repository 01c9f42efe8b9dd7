# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Every reference model, in one explicit table.

Windows say where a figure lies if the simulated task is as hard as intended. They are our estimate,
like the difficulty of the simulation itself, and no detector's performance.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from edgeinfer.base.metrics import Task
from edgeinfer.zoo import builders, data, detector_builders, sparse_builders
from edgeinfer.zoo.detector_measures import edge_error, mask_share, whole_figure
from edgeinfer.zoo.entry import Head, Measure, SiteForm, TrainingSchedule, ZooEntry
from edgeinfer.zoo.measures import (
    bias,
    distance,
    grouped_accuracy,
    head_accuracy,
    head_auc,
    pair_auc,
    resolution,
    rms,
)

TRACK, EM, NONE = 0, 1, 2
MUON, PION, PROTON = 0, 1, 2
CALORIMETER_UNIT_GEV = 150.0
VERTEX_UNIT_CM = 32 * 0.479  # the farthest that a vertex lies from the middle, across the wires


def _auc_and_accuracy(
    head: str, prefix: str = "", alarm: float | None = 0.995
) -> tuple[Measure, ...]:
    """How well classes are told apart, and how often the right one is."""
    return (
        Measure(f"{prefix}auc", "", head_auc(head), alarm_above=alarm),
        Measure(f"{prefix}accuracy", "", head_accuracy(head)),
    )


_TAGGER_HEADS = (
    Head("label", ("track", "em", "none"), "categorical_crossentropy", weight=0.1),
    Head("michel", ("michel",), "mean_squared_error", weight=1.0),
)
_TAGGER_MEASURES = (
    *_auc_and_accuracy("label", "label_", alarm=None),
    Measure("track_em_auc", "", pair_auc("label", TRACK, EM), (0.95, 0.985), alarm_above=0.995),
    Measure("michel_auc", "", head_auc("michel"), (0.95, 0.99), alarm_above=0.995),
)

_BEAM_PARTICLES = ("electron", "muon", "pion", "proton")
_COUNTS = ("none", "one", "more")
_CALORIMETER_PARTICLES = ("electron", "gamma", "pi0", "charged pion")
_SHOWERS = ("electromagnetic", "hadronic", "MIP")
_EDGES = ("up", "left", "down", "right")
_JETS = ("gluon", "quark", "W", "Z", "top")
_FEATURES = tuple(f"feature {number}" for number in range(1, 17))

_SEGMENT_HEADS = (
    Head("label", ("hip", "mip", "shower", "delta", "michel"), "categorical_crossentropy"),
)
_SEGMENT_MEASURES = (
    Measure("pixel_accuracy", "", head_accuracy("label"), alarm_above=0.995),
    Measure("track_shower_accuracy", "", grouped_accuracy("label", ((0, 1), (2, 3, 4)))),
)

_ENTRIES = (
    ZooEntry(
        name="hit-tagger",
        about="track, shower or empty, and Michel, of a 48x48 patch of ADC over 10, -5 to 15 "
        "(ProtoDUNE's tagger)",
        parameters=11_900_420,
        macs=14_222_208,
        build=builders.hit_tagger,
        data=partial(data.tagger_samples, scaling="tenth"),
        heads=_TAGGER_HEADS,
        schedule=TrainingSchedule(
            "sgd",
            0.03,
            batch=256,
            epochs=12,
            samples=60_000,
            patience=6,
            flips=(2,),
            cosine=True,
        ),
        measures=_TAGGER_MEASURES,
        committed=False,
    ),
    ZooEntry(
        name="hit-tagger-pooled",
        about="the hit tagger made small: 8 filters, pooled by 4; patches of ADC over 30, 0 to 1",
        parameters=31_812,
        macs=418_752,
        build=builders.hit_tagger_pooled,
        data=data.tagger_samples,
        heads=_TAGGER_HEADS,
        schedule=TrainingSchedule(
            "adam", 1e-3, batch=256, epochs=20, samples=80_000, patience=6, flips=(2,)
        ),
        measures=_TAGGER_MEASURES,
    ),
    ZooEntry(
        name="sparse-ssnet",
        about="what made each lit pixel of a 512x512 plane: HIP, MIP, shower, delta or Michel "
        "(after MicroBooNE's SparseSSNet), by 50 convolutions at lit pixels",
        parameters=519_653,
        macs=5_769_265_152,
        build=sparse_builders.sparse_ssnet,
        data=partial(data.segment_samples, side=sparse_builders.SIDE),
        heads=_SEGMENT_HEADS,
        schedule=TrainingSchedule(
            "adam",
            2e-3,
            batch=4,
            epochs=12,
            samples=6_000,
            patience=12,
            test_samples=200,
            flips=(2, 1),
            cosine=True,
        ),
        measures=_SEGMENT_MEASURES,
        committed=False,
        by_pixel=True,
        sites=SiteForm(
            sparse_builders.sparse_ssnet_at_sites,
            len(sparse_builders.WIDTHS),
            sparse_builders.LIT,
            partial(data.segment_frames, side=sparse_builders.SIDE),
        ),
    ),
    ZooEntry(
        name="sparse-ssnet-small",
        about="the same made small: 15 convolutions at lit pixels of planes of 64x64",
        parameters=28_685,
        macs=26_181_632,
        build=sparse_builders.sparse_ssnet_small,
        data=partial(data.segment_samples, side=sparse_builders.SMALL_SIDE),
        heads=_SEGMENT_HEADS,
        schedule=TrainingSchedule(
            "adam",
            2e-3,
            batch=16,
            epochs=16,
            samples=30_000,
            patience=16,
            test_samples=400,
            flips=(2,),
            cosine=True,
        ),
        measures=_SEGMENT_MEASURES,
        by_pixel=True,
        sites=SiteForm(
            sparse_builders.sparse_ssnet_small_at_sites,
            len(sparse_builders.SMALL_WIDTHS),
            sparse_builders.LIT,
            partial(data.segment_frames, side=sparse_builders.SMALL_SIDE),
        ),
    ),
    ZooEntry(
        name="track-pid",
        about="muon, pion or proton from dE/dx and 7 scalars (a stand-in: the layers of the "
        "deployed network are not public)",
        parameters=33_059,
        macs=239_968,
        build=builders.track_pid,
        data=data.track_samples,
        heads=(Head("particle", ("mu", "pi", "p"), "categorical_crossentropy", balanced=True),),
        schedule=TrainingSchedule("adam", 1e-3, batch=256, epochs=25, samples=60_000, patience=6),
        measures=(
            *_auc_and_accuracy("particle", alarm=None),
            Measure("p_mu_auc", "", pair_auc("particle", PROTON, MUON), (0.99, 1.0)),
            Measure("mu_pi_auc", "", pair_auc("particle", MUON, PION), (0.75, 0.90)),
        ),
    ),
    ZooEntry(
        name="roi-finder",
        about="is there a signal in 200 ticks of a raw waveform",
        parameters=21_217,
        macs=118_992,
        build=builders.roi_finder,
        data=data.waveform_samples,
        heads=(Head("signal", ("signal",), "binary_crossentropy", balanced=True),),
        schedule=TrainingSchedule("adam", 1e-3, batch=256, epochs=25, samples=60_000, patience=6),
        measures=_auc_and_accuracy("signal"),
    ),
    ZooEntry(
        name="jet-tagger",
        about="five kinds of jet from 16 features: the field's common benchmark, on a toy",
        parameters=4_389,
        macs=4_256,
        build=builders.jet_tagger,
        data=data.jet_samples,
        heads=(Head("jet", _JETS, "categorical_crossentropy"),),
        schedule=TrainingSchedule("adam", 1e-3, batch=512, epochs=30, samples=100_000, patience=6),
        measures=_auc_and_accuracy("jet"),
    ),
    ZooEntry(
        name="jet-transformer",
        about="five kinds of jet from its 16 hardest particles, by attention among them, on a toy",
        parameters=2_581,
        macs=33_872,
        build=builders.jet_transformer,
        data=data.constituent_samples,
        heads=(Head("jet", _JETS, "categorical_crossentropy"),),
        schedule=TrainingSchedule("adam", 2e-3, batch=256, epochs=20, samples=40_000, patience=6),
        measures=_auc_and_accuracy("jet"),
    ),
    ZooEntry(
        name="jet-recurrent",
        about="five kinds of jet from its 16 hardest particles, read one after the other, on a toy",
        parameters=1_921,  # with the 1 of 1 - z
        macs=22_480,
        build=builders.jet_recurrent,
        data=data.constituent_samples,
        heads=(Head("jet", _JETS, "categorical_crossentropy"),),
        schedule=TrainingSchedule("adam", 3e-3, batch=256, epochs=20, samples=40_000, patience=6),
        measures=_auc_and_accuracy("jet"),
    ),
    ZooEntry(
        name="track-graph",
        about="is there a track among 16 hits: messages along 24 edges that are inputs, on a toy",
        parameters=841,
        macs=8_328,
        build=builders.track_graph,
        data=data.graph_samples,
        heads=(Head("track", ("track",), "binary_crossentropy"),),
        schedule=TrainingSchedule("adam", 2e-3, batch=256, epochs=20, samples=40_000, patience=6),
        measures=_auc_and_accuracy("track"),
    ),
    ZooEntry(
        name="anomaly-trigger",
        about="an autoencoder of 16 features of a jet and its error, by which what is new is told "
        "from gluons and quarks, on a toy",
        parameters=626,
        macs=576,
        build=builders.anomaly_trigger,
        data=data.trigger_samples,
        heads=(
            Head("features_again", _FEATURES, "mean_squared_error"),
            Head("score", ("new",), "mean_squared_error", weight=0.0),
        ),
        schedule=TrainingSchedule("adam", 2e-3, batch=256, epochs=8, samples=40_000, patience=6),
        measures=(
            Measure("new_auc", "", head_auc("score"), alarm_above=0.995),
            Measure("rms_error", "", rms("features_again", 1.0)),
        ),
    ),
    ZooEntry(
        name="cvn-small",
        about="flavour of a neutrino, protons and pions, from three 64x64 views: DUNE's CVN made "
        "small",
        parameters=28_581,
        macs=2_827_032,
        build=builders.cvn_small,
        data=data.interaction_samples,
        heads=(
            Head("flavour", ("nu_mu", "nu_e", "NC"), "categorical_crossentropy"),
            Head("protons", _COUNTS, "categorical_crossentropy", weight=0.3),
            Head("pions", _COUNTS, "categorical_crossentropy", weight=0.3),
        ),
        schedule=TrainingSchedule(
            "adam", 2e-3, batch=64, epochs=8, samples=4_000, patience=6, test_samples=1_000
        ),
        measures=(
            *_auc_and_accuracy("flavour", "flavour_"),
            Measure("protons_auc", "", head_auc("protons"), alarm_above=0.995),
            Measure("pions_auc", "", head_auc("pions"), alarm_above=0.995),
        ),
    ),
    ZooEntry(
        name="lariat-siamese",
        about="electron, muon, pion or proton of a test beam, and its energy, by one tower that "
        "looks at both planes",
        parameters=23_885,
        macs=1_009_312,
        build=partial(builders.lariat_siamese, len(_BEAM_PARTICLES)),
        data=data.beam_samples,
        heads=(
            Head("particle", _BEAM_PARTICLES, "categorical_crossentropy"),
            Head("energy", ("energy in GeV",), "mean_squared_error", weight=10.0),
        ),
        schedule=TrainingSchedule(
            "adam", 2e-3, batch=64, epochs=12, samples=8_000, patience=6, test_samples=4_000
        ),
        measures=(
            *_auc_and_accuracy("particle", "particle_"),
            Measure("energy_rms_error", "GeV", rms("energy", 1.0)),
            Measure("energy_resolution", "", resolution("energy")),
        ),
    ),
    ZooEntry(
        name="vertex-finder",
        about="where a neutrino interacted in a 128x128 piece of a plane, from three glimpses of "
        "it",
        task=Task.REGRESSION,
        parameters=29_578,
        macs=452_064,
        build=builders.vertex_finder,
        data=data.vertex_samples,
        heads=(
            Head("wire", ("wires from the middle over 32",), "mean_squared_error"),
            Head("time", ("pixels from the middle over 32",), "mean_squared_error"),
        ),
        schedule=TrainingSchedule(
            "adam", 2e-3, batch=64, epochs=12, samples=6_000, patience=6, test_samples=3_000
        ),
        measures=(
            Measure("median_error", "cm", distance(("wire", "time"), VERTEX_UNIT_CM, 0.5)),
            Measure("error_68", "cm", distance(("wire", "time"), VERTEX_UNIT_CM, 0.68)),
        ),
    ),
    ZooEntry(
        name="hgcal-detector",
        about="proposes boxes around the particles that hit a 64x64 view of a calorimeter, and "
        "yields the features that hgcal-heads judges them by (after HGCAL's Mask R-CNN)",
        parameters=33_928,
        macs=3_855_360,
        build=partial(detector_builders.hgcal_detector, len(_SHOWERS)),
        data=data.detector_images,
        heads=(
            Head("place", ("none", *_SHOWERS), "categorical_crossentropy", weight=4.0),
            Head("edges", _EDGES, "located_error"),
            Head("cell", ("none", *_SHOWERS), "categorical_crossentropy", weight=2.0),
        ),
        schedule=TrainingSchedule(
            "adam", 2e-3, batch=16, epochs=14, samples=6_000, patience=6, test_samples=600
        ),
        measures=(
            Measure("place_accuracy", "", head_accuracy("place")),
            Measure("cell_accuracy", "", head_accuracy("cell")),
            Measure("edge_error", "cells", edge_error),
        ),
        features=("features",),
    ),
    ZooEntry(
        name="hgcal-heads",
        about="kind, box and cells of what lies in a proposal of hgcal-detector; the figures are "
        "those of both together",
        parameters=29_313,
        macs=934_272,
        build=partial(detector_builders.hgcal_heads, len(_SHOWERS)),
        data=data.detector_crops,
        heads=(
            Head("kind", ("none", *_SHOWERS), "categorical_crossentropy"),
            Head("edges", _EDGES, "located_error", weight=8.0),
            Head("mask", ("its own",), "located_crossentropy"),
        ),
        schedule=TrainingSchedule(
            "adam", 2e-3, batch=64, epochs=6, samples=32_000, patience=6, test_samples=9_600
        ),
        measures=(
            Measure("map50", "", whole_figure("map50")),
            Measure("map", "", whole_figure("map")),
            Measure("missed", "", whole_figure("missed")),
            Measure("fake", "", whole_figure("fake")),
            Measure("mask_share", "", mask_share),
        ),
        trunk="hgcal-detector",
    ),
    ZooEntry(
        name="calo-classifier",
        about="electron, gamma, pi0 or charged pion from the cells of two calorimeters",
        parameters=205_788,
        macs=205_756,
        build=partial(builders.calo_classifier, len(_CALORIMETER_PARTICLES)),
        data=data.calorimeter_kinds,
        heads=(Head("particle", _CALORIMETER_PARTICLES, "categorical_crossentropy"),),
        schedule=TrainingSchedule(
            "adam", 2e-3, batch=128, epochs=60, samples=10_000, patience=6, test_samples=4_000
        ),
        measures=_auc_and_accuracy("particle"),
    ),
    ZooEntry(
        name="energy-regression",
        about="energy of a particle from the cells of two calorimeters",
        task=Task.REGRESSION,
        parameters=205_737,
        macs=205_708,
        build=builders.energy_regression,
        data=data.calorimeter_energies,
        heads=(Head("energy", ("energy over 150 GeV",), "mean_squared_error"),),
        schedule=TrainingSchedule(
            "adam", 1e-3, batch=128, epochs=30, samples=10_000, patience=6, test_samples=4_000
        ),
        measures=(
            Measure("rms_error", "GeV", rms("energy", CALORIMETER_UNIT_GEV)),
            Measure("resolution", "", resolution("energy")),
            Measure("bias", "", bias("energy")),
        ),
    ),
)

ENTRIES: Final[dict[str, ZooEntry]] = {entry.name: entry for entry in _ENTRIES}
