# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The library as people use it, in a script and in a notebook."""

from __future__ import annotations

import re
import sys
from inspect import Parameter, signature
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import edgeinfer
from edgeinfer import api
from edgeinfer.base.errors import ToolFailedError, UsageError
from edgeinfer.cli.app import main
from edgeinfer.evaluate import judge
from edgeinfer.run.samples import samples_of
from quantization.fixed import Fixed, Quantizer
from tests.support import small_models as small
from tests.support.notebook import executed, written
from tests.support.places import ROOT
from tests.support.serving import expected, infer, numbers, small_program, write_run
from tests.support.small_taggers import compile_tagger, write_planes


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    small.classifier(tmp_path)
    small.data(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("work")
def test_samples_are_arrays_pairs_or_frames() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    arrays = dict(np.load("data.npz"))
    frame = pandas.DataFrame(arrays["x"], columns=[f"f{n}" for n in range(6)])
    frame["kind"] = arrays["y"]
    wanted = edgeinfer.load("net.keras", arrays).quantize(6).scores
    pair = (arrays["x"], arrays["y"])
    assert edgeinfer.load("net.keras", pair).quantize(6).scores == wanted
    assert edgeinfer.load("net.keras", frame, labels="kind").quantize(6).scores == wanted
    names = np.array(["electron", "muon", "pion"])
    frame["kind"] = names[arrays["y"].astype(int)]
    named = edgeinfer.load("net.keras", frame, labels="kind")
    with pytest.raises(UsageError, match="name 2 classes"):  # no muon is among them
        named.quantize(6)
    arrays["y"][0] = 1
    frame["kind"] = names[arrays["y"].astype(int)]
    named = edgeinfer.load("net.keras", frame, labels="kind")
    assert named.quantize(6).scores == edgeinfer.load("net.keras", arrays).quantize(6).scores
    with pytest.raises(UsageError, match="cannot be taken from a int"):
        edgeinfer.load("net.keras", 3)


@pytest.mark.usefixtures("work")
def test_a_network_and_its_run_predict_the_same() -> None:
    x = np.load("data.npz")["x"]
    network = edgeinfer.load("net.keras", "data.npz").quantize(6)
    run = network.compile("runs/n")
    result = network.predict(x)
    assert all((result[name] == values).all() for name, values in run.predict({"x": x}).items())
    (values,) = edgeinfer.predict("runs/n", x.tolist()).values()
    assert values.shape == (len(x), 3) and np.allclose(values.sum(axis=1), 1)
    for wrong in (x[:, :5], {"y": x}, x[:0], np.full((1, 6), np.nan), np.full((1, 6), "a")):
        with pytest.raises(UsageError, match=r"x|no samples"):
            run.predict(wrong)


@pytest.mark.usefixtures("work")
def test_a_notebook_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    handle = SimpleNamespace(update=lambda data, raw: lines.append(data["text/plain"]))
    shell = SimpleNamespace(kernel=object())
    library = SimpleNamespace(
        get_ipython=lambda: shell,
        display=SimpleNamespace(display=lambda data, raw, display_id: handle),
    )
    monkeypatch.setitem(sys.modules, "IPython", library)
    edgeinfer.load("net.keras", "data.npz").quantize(6).compile("runs/n")
    assert any(line.endswith("load: ...") for line in lines)
    assert re.fullmatch(r"load [\d.]+ s, lower [\d.]+ s, simulate [\d.]+ s, .*", lines[-1])
    lines.clear()
    shell.__dict__.clear()  # IPython in a terminal
    edgeinfer.load("net.keras", "data.npz").quantize(5).compile("runs/m")
    assert not lines


@pytest.mark.usefixtures("work")
def test_fit_recommends_a_row() -> None:
    model = edgeinfer.load("net.keras", "data.npz")
    result = edgeinfer.fit(model, "zcu104", targets=["hls"], bits=[6, 8])
    assert {row.candidate for row in result.table.rows} == {"6 bits", "8 bits"}
    assert "recommended" in repr(result) and "edgeinfer compile" in repr(result)
    assert "zcu104" in result.page("fit.html").read_text()


def test_planes_are_tagged_as_by_the_command_line(tmp_path: Path) -> None:
    run = compile_tagger(tmp_path)
    (path,) = write_planes(tmp_path, 1, planes=2)
    assert main(["event", str(run), "--data", str(path), "-o", str(tmp_path / "t.npz")]) == 0
    there, here = np.load(tmp_path / "t.npz"), edgeinfer.opened_run(run).tag(np.load(path))
    assert set(here) == set(there.files)
    assert all((here[name] == there[name]).all() for name in here)
    with pytest.raises(UsageError, match="planes, wires, pixels"):
        edgeinfer.tag(run, np.load(path)[0])


def test_files_are_tagged_as_by_the_command_line(tmp_path: Path) -> None:
    run = compile_tagger(tmp_path)
    write_planes(tmp_path / "in", 2)
    command = ["event", str(run), str(tmp_path / "in"), "-o", str(tmp_path / "a"), "--jobs", "1"]
    assert main(command) == 0
    result = edgeinfer.tag_files(run, tmp_path / "in", tmp_path / "b", jobs=1)
    assert result["failed"] == result["resumed"] == 0
    for name in ("event-0.npz", "event-1.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert edgeinfer.tag_files(run, [tmp_path / "in"], tmp_path / "b", jobs=1)["resumed"] == 2
    with pytest.raises(UsageError, match="processes cannot"):
        edgeinfer.tag_files(run, tmp_path / "in", tmp_path / "b", jobs=0)


def test_a_run_is_served_from_a_script(tmp_path: Path) -> None:
    run, values = write_run(tmp_path / "run", small_program()), numbers(3)
    _, wanted = expected(small_program(), values, Quantizer(Fixed(True, 8, 4)))
    with edgeinfer.open_server(run, ports=(0, 0, 0)) as server:
        assert server.grpc_url in repr(server) and server.opened.models == (("small", 1),)
        assert (infer(server.opened, "small", "x", values)["sum"] == wanted["sum"]).all()
        taken = server.opened.grpc_port
        with pytest.raises(ToolFailedError, match=f"port {taken}"):
            edgeinfer.open_server(run, ports=(taken, 0, 0))
    assert "closed" in repr(server)
    server.close()
    with pytest.raises(UsageError, match="nothing to serve"):
        edgeinfer.open_server()


@pytest.mark.slow
@pytest.mark.usefixtures("work")
def test_widths_are_learned() -> None:
    pytest.importorskip("keras", reason="the extra [train] is not installed")
    model = edgeinfer.load("net.keras", "data.npz")
    chosen = edgeinfer.learn(model, "front", points=2, epochs=1, at_least={"auc": 0.1})
    assert chosen.path == Path("front/chosen.keras")
    assert chosen.compile("runs/learned").exact
    with pytest.raises(UsageError, match="no figure 'luts'"):  # before anything is trained
        edgeinfer.learn(model, "other", points=100, epochs=100, at_most={"luts": 9})


@pytest.mark.slow
def test_a_keras_model_in_memory_is_loaded() -> None:
    keras = pytest.importorskip("keras", reason="the extra [train] is not installed")
    layers = [keras.layers.Dense(5, activation="relu"), keras.layers.Dense(3)]
    network = keras.Sequential([keras.layers.Input((6,)), *layers])
    x = np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32)
    model = edgeinfer.load(network, (x, np.zeros(50)))
    assert model.graph.parameters == 6 * 5 + 5 + 5 * 3 + 3
    result = judge.float_outputs(model.graph, samples_of(model.source, model.graph))
    np.testing.assert_allclose(
        next(iter(result.values())), network.predict(x, verbose=0), atol=1e-5
    )


@pytest.mark.slow
def test_a_pytorch_model_in_memory_is_loaded() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    network = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
    x = np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32)
    model = edgeinfer.load(network, (x, np.zeros(50)))
    result = judge.float_outputs(model.graph, samples_of(model.source, model.graph))
    wanted = network(torch.as_tensor(x)).detach().numpy()
    np.testing.assert_allclose(next(iter(result.values())), wanted, atol=1e-5)
    with pytest.raises(UsageError, match="Give samples"):
        edgeinfer.load(network)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(UsageError, match="no model that can be loaded"):
        edgeinfer.load(object())


@pytest.mark.usefixtures("work")
def test_from_a_file_to_a_comparison() -> None:
    arrays = dict(np.load("data.npz"))
    model = edgeinfer.load("net.keras", arrays)
    again = edgeinfer.load("net.keras", "data.npz")  # the name is a room of the house as well
    assert repr(model) == repr(again) and "parameters" in repr(model)
    six = model.quantize(6)
    assert six.scores["quantized"].auc is not None and "AUC" in repr(six)
    assert "<td>" in six._repr_html_() and "fixed&lt;" not in repr(six)
    run = six.compile("six")
    chip = six.compile("chip", targets=["edgetpu"])
    assert chip.exact and "cached_bytes" in {metric.name for metric in chip.metrics}
    assert run.exact and run.result.program.digest == six.program.digest
    assert run.result.accuracy["quantized"].auc == six.scores["quantized"].auc
    four = model.quantize(4, bits_of={"out*": 6}).compile("four")
    answer = edgeinfer.compare(run, four)
    assert "six" in repr(answer) and "four" in repr(answer)
    assert answer.page("page.html").read_text().startswith("<!DOCTYPE html>")
    assert run.simulate(samples=7).result.agreement[0].samples == 7
    assert run.report().stat().st_size > 10_000
    assert repr(edgeinfer.opened_run("six")) == repr(run)


def test_the_package_is_light_until_it_is_used() -> None:
    import subprocess
    import sys

    code = "import sys, edgeinfer; print('numpy' in sys.modules, callable(edgeinfer.load))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
    with pytest.raises(AttributeError, match="quantise"):
        edgeinfer.quantise  # noqa: B018


def test_nothing_is_no_comparison() -> None:
    with pytest.raises(UsageError, match="nothing to compare"):
        edgeinfer.compare()


def test_the_notebook_still_says_what_it_said() -> None:
    path = ROOT / "docs/examples/tour.ipynb"
    assert written(executed(path)) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", edgeinfer.__all__)
def test_a_public_function_says_what_it_takes(name: str) -> None:
    """So that an editor and a notebook can show it; a method of that name takes the same."""
    taken = signature(getattr(edgeinfer, name)).parameters
    methods = [
        getattr(kind, name) for kind in (api.Model, api.Quantized, api.Run) if hasattr(kind, name)
    ]
    for parameters in (taken, *(signature(method).parameters for method in methods)):
        assert Parameter.VAR_KEYWORD not in {each.kind for each in parameters.values()}
        assert list(parameters)[1:] == list(taken)[1:]
