# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Projects and configuration files of hls4ml: read as they say, and never executed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from edgeinfer import load, zoo
from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.graph.nodes import DenseNode
from edgeinfer.run.estimate import estimate
from edgeinfer.run.learn import learn_runs
from edgeinfer.targets.hls.project.foreign import HlsSource, read_source
from edgeinfer.targets.hls.settings import Backend, HlsSettings, IoType, Strategy
from edgeinfer.targets.hls.target import HlsTarget
from edgeinfer.targets.lessons import read_lessons
from edgeinfer.targets.registry import ChosenTarget
from edgeinfer.targets.reports.csynth_xml import csynth_xml
from quantization.fixed import Fixed, Overflow, Rounding
from tests.support.emitted_projects import REPORTS

CONFIG = """\
Backend: Vitis
ClockPeriod: 4
IOType: io_parallel
Part: xcku115-flvb2104-2-i
KerasModel: !keras_model '/elsewhere/{model}'
HLSConfig:
  Model:
    Precision: {{default: 'ap_fixed<16,6>'}}
    ReuseFactor: 2
    Strategy: Resource
  LayerName:
    {layer}:
      Precision: {{weight: 'fixed<8,1>', bias: auto, result: 'fixed<12,5,RND,SAT>', accum: auto}}
      ReuseFactor: 8
      Strategy: Latency
"""
TYPES = """\
typedef ap_fixed<37,17> {layer}_accum_t;
typedef ap_fixed<6,1> {layer}_weight_t;
typedef nnet::array<ap_ufixed<9,3,AP_RND,AP_SAT,0>, 64*1> layer2_t;
"""
CALL = "    nnet::dense<input_t, layer2_t, config2>(in, layer2_out, w2, b2); // {layer}\n"
MODEL = zoo.resolve("jet-tagger")
REPORT = REPORTS / "vitis_hls_2024.2" / "tagger_csynth.xml"
LAYER = next(node.name for node in load(MODEL).graph.nodes if isinstance(node, DenseNode))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / MODEL.name).write_bytes(MODEL.read_bytes())
    text = CONFIG.format(model=MODEL.name, layer=LAYER)
    (tmp_path / "hls4ml_config.yml").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_configuration_brings_its_own_settings_and_formats(project: Path) -> None:
    found = read_source(project / "hls4ml_config.yml", HlsSettings())
    assert found is not None
    s = found.settings
    assert (s.backend, s.io, s.clock_ns) == (Backend.VITIS, IoType.PARALLEL, 4.0)
    assert (s.part, s.strategy, s.reuse) == ("xcku115-flvb2104-2-i", Strategy.RESOURCE, 2)
    assert (s.reuse_for(LAYER), s.strategy_for(LAYER)) == (8, Strategy.LATENCY)
    recipe = found.recipe(load(found.model).graph)
    kernel, result = recipe.weight(f"{LAYER}/kernel"), recipe.activation(LAYER)
    assert kernel is not None and kernel.quantizers[0].type == Fixed(True, 8, 1)
    assert result is not None
    assert (result.type, result.rounding) == (Fixed(True, 12, 5), Rounding.RND)


def test_what_a_user_asks_for_goes_before_the_project(project: Path) -> None:
    result = read_source(project, HlsSettings(part="xczu3eg-sbva484-1-e", reuse=4))
    assert result is not None
    s = result.settings
    assert (s.part, s.reuse_for(LAYER), s.io) == ("xczu3eg-sbva484-1-e", 4, IoType.PARALLEL)


def test_what_hls4ml_chose_itself_is_read_from_the_project(project: Path) -> None:
    firmware = project / "firmware"
    firmware.mkdir()
    (firmware / "defines.h").write_text(TYPES.format(layer=LAYER), encoding="utf-8")
    (firmware / "myproject.cpp").write_text(CALL.format(layer=LAYER), encoding="utf-8")
    found = read_source(project, HlsSettings())
    assert found is not None
    assert dict(found.settings.sum_bits_of)[LAYER] == 37
    recipe = found.recipe(load(found.model).graph)
    kernel, result = recipe.weight(f"{LAYER}/kernel"), recipe.activation(LAYER)
    assert kernel is not None and kernel.quantizers[0].type == Fixed(True, 6, 1)
    assert result is not None
    assert (result.type, result.overflow) == (Fixed(False, 9, 3), Overflow.SAT)


def test_a_project_is_estimated_as_it_was_set_up(project: Path) -> None:
    document = estimate(project, ChosenTarget("hls", HlsTarget(), HlsSettings())).document
    settings = document["settings"]
    assert (settings["part"], settings["io"]) == ("xcku115-flvb2104-2-i", "io_parallel")
    assert settings["layers"][f"{LAYER}.exact"]["reuse"] == 8


def test_a_project_that_was_built_teaches_estimates(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its folder as by its configuration; without reports it is said that there are none."""
    monkeypatch.setenv("EDGEINFER_CONFIG", str(project / "own"))
    (project / "project.tcl").write_text('set project_name "tagger"\n', encoding="utf-8")
    with pytest.raises(UsageError, match="holds no report"):
        learn_runs([project])
    report = project / "tagger_prj" / "solution1" / "syn" / "report" / "tagger_csynth.xml"
    report.parent.mkdir(parents=True)
    report.write_bytes(REPORT.read_bytes())
    answer = learn_runs([project])
    taught = answer.document
    assert (taught["runs"], taught["new_runs"]) == (1, 1)
    assert taught["kinds"] == {"hls, io_parallel, dense, resource": 1}
    assert "1 of the 3 designs" in answer.lines[1]  # so that nobody waits for a correction
    lessons = {lesson.figure: lesson for lesson in read_lessons()}
    synthesis = csynth_xml(REPORT)
    assert lessons["lut"].reported == synthesis.resources.lut
    assert lessons["latency_cycles"].reported == synthesis.latency.most
    stated = estimate(project, ChosenTarget("hls", HlsTarget(), HlsSettings()))
    estimated = {each["name"]: each["value"] for each in stated.document["metrics"]
                 if each["layer"] is None}  # fmt: skip
    assert round(lessons["lut"].estimated) == estimated["lut"]
    again = learn_runs([project / "hls4ml_config.yml"]).document
    assert (again["runs"], again["figures"]) == (1, taught["figures"])


def test_nothing_in_a_configuration_is_executed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    text = CONFIG.format(model=MODEL.name, layer=LAYER)
    evil = "Extra: !!python/object/apply:os.system ['touch executed']\n"
    (project / "bad.yml").write_text(evil + text, encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.yml is not YAML"):
        read_source(project / "bad.yml", HlsSettings())
    assert not (project / "executed").exists()


INTEL_TYPES = """\
typedef nnet::array<ac_fixed<16,6,true>, 16*1> input_t;
typedef ac_fixed<37,17,true> {layer}_accum_t;
typedef nnet::array<ac_fixed<37,17,true>, 64*1> {layer}_result_t;
typedef nnet::array<ac_fixed<6,1,true>, 1024*1> w2_t;
typedef ac_int<1, false> layer2_index;
typedef nnet::array<ac_fixed<9,3,false,AC_RND,AC_SAT>, 64*1> layer3_t;
typedef ac_fixed<18,8,true> {layer}_relu_table_t;
"""
INTEL_CALLS = """\
    nnet::dense_resource<input_t, {layer}_result_t, config2>(inputs.in, layer2_out, w2, b2);
    nnet::relu<{layer}_result_t, layer3_t, relu_config3>(layer2_out, layer3_out);
"""


@pytest.mark.parametrize("folder", ["firmware", "src/firmware"])
def test_types_of_intels_compilers_are_read_without_the_layers_names(
    project: Path, folder: str
) -> None:
    (project / folder).mkdir(parents=True)
    (project / folder / "defines.h").write_text(INTEL_TYPES.format(layer=LAYER), encoding="utf-8")
    calls = INTEL_CALLS.format(layer=LAYER)
    (project / folder / "myproject.cpp").write_text(calls, encoding="utf-8")
    result = read_source(project, HlsSettings())
    assert result is not None
    assert dict(result.settings.sum_bits_of)[LAYER] == 37
    assert result.formats[LAYER]["weight"] == "fixed<6,1,TRN,WRAP>"
    assert result.formats[f"{LAYER}_relu"]["result"] == "ufixed<9,3,RND,SAT>"


def read_changed(project: Path, *changes: tuple[str, str]) -> HlsSource:
    config = project / "hls4ml_config.yml"
    text = config.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    config.write_text(text, encoding="utf-8")
    result = read_source(project, HlsSettings())
    assert result is not None
    return result


@pytest.mark.parametrize(
    "name, backend",
    [("VivadoAccelerator", Backend.VIVADO), ("VitisAccelerator", Backend.VITIS),
     ("oneAPI", Backend.ONEAPI)],
)  # fmt: skip
def test_a_shell_around_a_project_does_not_change_its_compiler(
    project: Path, name: str, backend: Backend
) -> None:
    result = read_changed(project, ("Backend: Vitis", f"Backend: {name}"))
    assert result.settings.backend is backend


def test_a_backend_of_which_nothing_is_known_is_refused(project: Path) -> None:
    with pytest.raises(InputError, match="backend Plasma"):
        read_changed(project, ("Backend: Vitis", "Backend: Plasma"))


def test_old_configurations_call_the_part_and_the_network_otherwise(project: Path) -> None:
    renamed = ("Part: xcku115", "XilinxPart: xcku115"), ("KerasModel", "KerasH5")
    result = read_changed(project, *renamed, ("Backend: Vitis\n", ""))
    assert result.settings.backend is Backend.VIVADO  # hls4ml's own, where none is named
    assert result.settings.part == "xcku115-flvb2104-2-i"
    assert result.model.name == MODEL.name


def test_positions_that_a_project_treats_at_once_are_read(project: Path) -> None:
    result = read_changed(project, ("ReuseFactor: 8", "ParallelizationFactor: 5"))
    assert dict(result.settings.at_once_of)[LAYER] == 5
    assert HlsSettings.from_record(asdict(result.settings)) == result.settings


def test_precisions_may_be_written_as_intels_compilers_have_them(project: Path) -> None:
    result = read_changed(project, ("'fixed<8,1>'", "'ac_fixed<9,2,false>'"))
    kernel = result.recipe(load(result.model).graph).weight(f"{LAYER}/kernel")
    assert kernel is not None and kernel.quantizers[0].type == Fixed(False, 9, 2)


def test_a_format_of_the_model_is_that_of_every_result_without_its_own(project: Path) -> None:
    """As in configurations of old, which name no layers: hls4ml cuts every result to it."""
    config = project / "hls4ml_config.yml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text[: text.index("  LayerName")], encoding="utf-8")
    result = read_source(project, HlsSettings())
    assert result is not None
    recipe = result.recipe(load(result.model).graph)
    cut = recipe.activation(LAYER)
    assert cut is not None
    assert (cut.type, cut.overflow) == (Fixed(True, 16, 6), Overflow.WRAP)
    layers = estimate(project, ChosenTarget("hls", HlsTarget(), HlsSettings())).document["metrics"]
    assert 0 < next(each["value"] for each in layers if each["name"] == "dsp") < 4389


def test_a_family_is_taken_for_its_largest_part_and_that_is_said(project: Path) -> None:
    result = read_changed(project, ("xcku115-flvb2104-2-i", "Agilex7"), ("Vitis", "oneAPI"))
    assert result.settings.part.startswith("AGIB027")
    assert "Agilex7, a family" in result.remarks[0]
    asked = read_source(project, HlsSettings(part="10ax115"))
    assert asked is not None and asked.settings.part == "10ax115"
    assert asked.remarks == ()  # a part that the user names is not taken for another one


def test_what_is_not_in_the_figures_is_said(project: Path) -> None:
    plain = read_source(project, HlsSettings())
    assert plain is not None and plain.remarks == ()
    result = read_changed(
        project,
        ("accum: auto", "accum: 'fixed<28,16,RND_ZERO,SAT>'"),
        ("Strategy: Latency", "Strategy: Resource_unrolled"),
    )
    unrolled, saturating = result.remarks
    assert LAYER in unrolled and "counted as Latency" in unrolled
    assert LAYER in saturating and "saturates" in saturating
    document = estimate(project, ChosenTarget("hls", HlsTarget(), HlsSettings())).document
    assert set(result.remarks) < set(document["findings"])


@pytest.mark.parametrize("text", ["[1, 2", "a: 1", "HLSConfig: {}\nKerasModel: gone.keras"])
def test_what_is_no_configuration_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"c\.yml"):
        read_source(tmp_path / "c.yml", HlsSettings())


def test_other_files_are_not_taken_for_projects(tmp_path: Path) -> None:
    assert read_source(tmp_path, HlsSettings()) is None
    assert read_source(MODEL, HlsSettings()) is None
