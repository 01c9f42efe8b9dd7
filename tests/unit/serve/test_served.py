# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How a model is called outside, what it says of itself, and its metrics."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeinfer.base.errors import InputError
from edgeinfer.serve.messages import message_class, message_classes
from edgeinfer.serve.names import names_of, read_names, refuse_unread
from edgeinfer.serve.served import BatchSettings, serve_program
from edgeinfer.serve.tallies import BatchTimes, FailureReason, ModelTally, metrics_text
from quantization.fixed import Fixed, Quantizer
from quantization.recipe import Recipe
from tests.support.serving import LARSOFT, pooled_program, small_program


def names_file(folder: Path, text: str) -> Path:
    path = folder / "names.toml"
    path.write_text(text)
    return path


def test_a_model_bears_the_names_of_the_file(tmp_path: Path) -> None:
    path = names_file(tmp_path, LARSOFT)
    program = pooled_program()
    names = names_of(program, read_names(path), path)
    model = serve_program(
        program, Recipe(), names, 2, BatchSettings(), raw_outputs=False, backend="engine"
    )
    assert model.metadata([1, 2]) == {
        "name": "cnn_emtrkmichel_1",
        "versions": ["1", "2"],
        "platform": "edgeinfer",
        "inputs": [{"name": "main_input", "datatype": "FP32", "shape": [-1, 48, 48, 1]}],
        "outputs": [
            {"name": "em_trk_none_netout/Softmax", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "michel_netout/Sigmoid", "datatype": "FP32", "shape": [-1, 1]},
        ],
    }
    parameters = model.config()["parameters"]
    assert parameters["input.main_input"] == {"string_value": "ufixed<8,0,RND_CONV,SAT>"}
    type_ = program.type("michel")
    assert parameters["output.michel_netout/Sigmoid"] == {"string_value": f"{type_}, sigmoid"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = [", "is not TOML"),
        ("small = 3", "small is no table"),
        ("[small]\nnam = 'x'", "nam"),
        ("[small.inputs]\ny = 'z'", "small has no input 'y'"),
        ("[small]\nname = ''", "no name"),
        ("[smal]\nname = 'x'", "Did you mean 'small'"),
        ("[small.outputs]\nsum = ''", "or one has none"),
    ],
)
def test_a_file_of_names_that_fits_nothing_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = names_file(tmp_path, text)
    with pytest.raises(InputError, match=said):
        file = read_names(path)
        names_of(small_program(), file, path)
        refuse_unread(file, {"small"}, path)


def test_a_recipe_of_another_run_is_refused() -> None:
    program, names = small_program(), names_of(small_program(), {}, None)
    for type_ in (Fixed(True, 8, 3), Fixed(False, 8, 4), Fixed(True, 9, 5)):
        recipe = Recipe.of({"x": Quantizer(type_)}, {})
        with pytest.raises(InputError, match="they are not of one run"):
            serve_program(
                program, recipe, names, 1, BatchSettings(), raw_outputs=False, backend="engine"
            )


def test_metrics_are_lines_that_no_name_can_forge() -> None:
    tally = ModelTally()
    tally.success.add(3_000_000, 2)
    tally.note_batch(5, BatchTimes(1000, 2000, 3000), [10_000, 20_000])
    tally.note_failure(FailureReason.REJECTED, 1000)
    text = metrics_text([('a"} 1\nx', 1, tally)])
    labels = r'model="a\"} 1\nx",version="1"'
    assert f"nv_inference_request_success{{{labels}}} 2\n" in text
    assert f'nv_inference_request_failure{{{labels},reason="REJECTED"}} 1\n' in text
    assert f"nv_inference_count{{{labels}}} 5\n" in text
    assert f"nv_inference_request_duration_us{{{labels}}} 6001\n" in text
    assert f"nv_inference_queue_duration_us{{{labels}}} 30\n" in text
    statistics = tally.as_dict("a", 1)
    assert statistics["inference_stats"]["compute_infer"] == {"count": 2, "ns": 4000}
    assert statistics["batch_stats"][0]["compute_infer"] == {"count": 1, "ns": 2000}


def test_sizes_of_batches_that_are_counted_apart_are_limited() -> None:
    tally = ModelTally()
    for samples in range(1, 3000):
        tally.note_batch(samples, BatchTimes(1, 1, 1), [1])
    assert len(tally.batches) == 1024 and tally.executions == 2999


def test_every_message_survives_the_wire() -> None:
    for name in message_classes():
        kind = message_class(name)
        assert kind.FromString(kind().SerializeToString()) == kind()
    request = message_class("ModelInferRequest")(model_name="a", raw_input_contents=[b"1"])
    request.parameters["x"].int64_param = 3
    # by hand from the specification: field 1 "a", field 4 the pair ("x", {2: 3}), field 7 "1"
    assert request.SerializeToString() == b'\n\x01a"\x07\n\x01x\x12\x02\x10\x03:\x011'
