# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The weights that ship do what their record says, on events made afresh, without TensorFlow."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgeinfer.base.errors import InputError
from edgeinfer.base.plan import sha256_of
from edgeinfer.zoo import ENTRIES, reference_path
from edgeinfer.zoo.entry import stage_seed
from edgeinfer.zoo.evaluate import intervals_of
from edgeinfer.zoo.reference import ReferenceRecord, judge_network, load_reference, record_of
from reports.make.zoo import train_row

SHIPPED = [name for name, entry in ENTRIES.items() if entry.reference]
FRESH_SEED = 20_000
FEW = {
    **dict.fromkeys(("calo-classifier", "energy-regression", "vertex-finder"), 500),
    **dict.fromkeys(("cvn-small", "sparse-ssnet-small"), 150),
    "lariat-siamese": 800,
    "hgcal-detector": 100,
    "hgcal-heads": 1600,  # the proposals of 100 images
}


@pytest.mark.parametrize("name", SHIPPED)
def test_record_belongs_to_the_weights(name):
    entry, record = ENTRIES[name], record_of(ENTRIES[name])
    assert record is not None
    assert record.sha256 == sha256_of(reference_path(entry))
    assert record.parameters == entry.parameters == load_reference(name).parameters
    assert record.macs == entry.macs
    assert f"edgeinfer train {name} -o {name}.keras --seed {record.seed}" == record.command
    assert set(record.metrics) == {measure.name for measure in entry.measures}
    assert "simulated" in record.note


@pytest.mark.parametrize("name", SHIPPED)
def test_a_fresh_evaluation_finds_the_committed_figures(name):
    entry, record = ENTRIES[name], record_of(ENTRIES[name])
    assert record is not None
    samples = entry.data(stage_seed(FRESH_SEED, "fresh"), FEW.get(name, 2500))
    result = intervals_of(entry, [judge_network(entry, load_reference(name), samples)], seed=0)
    for metric, committed in record.metrics.items():
        found = result[metric]
        overlap = found.low <= committed.high and committed.low <= found.high
        assert overlap, (metric, found, committed)


@pytest.mark.parametrize("name", SHIPPED)
def test_figures_lie_in_their_windows(name):
    record = record_of(ENTRIES[name])
    assert record is not None
    for measure in ENTRIES[name].measures:
        committed = record.metrics[measure.name]
        if measure.window:
            low, high = measure.window
            assert committed.high >= low, measure.name
            assert committed.low <= high, measure.name
        if measure.alarm_above:
            assert committed.value <= measure.alarm_above, measure.name


def test_shipped_weights_stand_for_their_seed(tmp_path):
    """A row of the table without a training: the figures are those of the record."""
    entry, record = ENTRIES["anomaly-trigger"], record_of(ENTRIES["anomaly-trigger"])
    assert record is not None
    row = train_row(entry, [record.seed], tmp_path, commits=False, shipped=True)
    assert not list(tmp_path.iterdir())
    for name, committed in record.metrics.items():
        assert row.by_seed[record.seed][name].value == pytest.approx(committed.value, abs=1e-4)


def test_evaluating_a_reference_needs_no_tensorflow():
    code = (
        "import sys\n"
        "from edgeinfer.zoo import ENTRIES\n"
        "from edgeinfer.zoo.reference import judge_network, load_reference\n"
        "entry = ENTRIES['jet-tagger']\n"
        "judge_network(entry, load_reference('jet-tagger'), entry.data(0, 100))\n"
        "print(sorted({'tensorflow', 'keras'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_damaged_record_says_so(tmp_path):
    path = tmp_path / "jet-tagger.json"
    path.write_text('{"name": "jet-tagger"}')
    with pytest.raises(InputError, match="not a record"):
        record_of(ENTRIES["jet-tagger"], tmp_path)
    with pytest.raises(InputError, match=r"roi-finder\.json"):
        record_of(ENTRIES["roi-finder"], tmp_path)
    record = record_of(ENTRIES["jet-tagger"])
    assert record is not None
    assert ReferenceRecord.from_json(record.to_json(), path) == record
