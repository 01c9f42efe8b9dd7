# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Results and profiles made by hand: a good one with every target, and hostile ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeinfer.base.metrics import DesignState, Metric, Origin, Scores, Task
from edgeinfer.evaluate.profile.data import (
    Clipped,
    Curve,
    Distribution,
    Histogram,
    Layer,
    Lost,
    Profile,
    StageScore,
    Uncertain,
)
from edgeinfer.ir.agreement import Agreement, Divergence
from edgeinfer.report.result import (
    Artefact,
    DataPart,
    ModelPart,
    ProgramPart,
    RecipePart,
    Result,
    StepPart,
    TargetPart,
    Tensor,
)

DIGEST = "ab" * 32
HLS_SETTINGS = {"io": "io_stream", "reuse": 2, "reuse_of": [["conv2", 8]]}
SCRIPT = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>"
STRANGE = (
    "ünïcødé-粒子-🚀",
    "\u202etxet sdrawkcab",
    "quotes\"'&amp;<b>",
    "a\x00b\x1b[31mred\x07",
    SCRIPT,
)


def estimated(name: str, value: float, unit: str, spread: float = 0.3, **more: str) -> Metric:
    """An estimate of the HLS target."""
    band = (value * (1 - spread), value * (1 + spread))
    of_gates = name.endswith("_vsynth")
    counted = DesignState.LOGIC_SYNTHESIS if of_gates else DesignState.C_SYNTHESIS
    return Metric(name, value, unit, Origin.ESTIMATED, *band, tool="edgeinfer",
                  state=counted,
                  **({"target": "hls"} | more))  # fmt: skip


def metrics() -> tuple[Metric, ...]:
    """Figures of three targets and the host's processor, of a design and of its layers."""

    def proved(name: str, value: float, unit: str = "", layer: str | None = None) -> Metric:
        return Metric(name, value, unit, Origin.PROVED, target="rtl", layer=layer)

    def routed(name: str, value: float, unit: str = "") -> Metric:
        return Metric(name, value, unit, Origin.ROUTED, tool="nextpnr-ecp5", version="0.11",
                      target="rtl")  # fmt: skip

    layers = ("conv1", "conv2", "dense", "logits")
    results = [
        Metric("rms_difference_to_float", 0.021, "", Origin.SIMULATED),
        Metric("same_decision_as_float", 0.981, "", Origin.SIMULATED),
        estimated("latency_cycles", 2900, "cycles", 0.2),
        estimated("ii_cycles", 2310, "cycles", 0.2),
        estimated("latency_us", 14.5, "us", 0.2),
        estimated("dsp", 210, "DSP", 0.1),
        estimated("lut", 61_000, "LUT"),
        estimated("lut_vsynth", 38_500, "LUT"),
        estimated("ff_vsynth", 41_000, "FF"),
        estimated("bram18", 31, "BRAM18"),
        proved("latency_cycles", 5100, "cycles"),
        proved("ii_cycles", 4800, "cycles"),
        proved("latency_us_at_asked_clock", 51.0, "us"),
        routed("fmax_mhz", 92.4, "MHz"),
        routed("throughput", 19_250, "frames/s"),
        routed("latency_us", 55.2, "us"),
        routed("lut", 31_400),
        routed("lut_share", 37.5, "%"),
        routed("dsp", 88),
        routed("dsp_share", 56.4, "%"),
        Metric("cached_bytes", 412_000, "B", Origin.ESTIMATED, 400_000, 430_000,
               state=DesignState.NONE, target="edgetpu"),
        Metric("latency_usb", 310, "us", Origin.ESTIMATED, 190, 520, state=DesignState.NONE,
               target="edgetpu"),
        Metric("latency_us", 1450, "us", Origin.MEASURED, 1390, 1620, tool="onnxruntime",
               version="1.31", target="cpu"),
    ]  # fmt: skip
    for number, layer in enumerate(layers):
        results += [
            estimated("latency_cycles", 2300 - 500 * number, "cycles", layer=layer),
            estimated("dsp", 80 - 20 * number, "DSP", layer=layer),
            estimated("lut", 20_000 / (number + 1), "LUT", layer=layer),
            proved("multipliers", 16 >> number, layer=layer),
            proved("busy_cycles", 4800 // (number + 1), "cycles", layer=layer),
            proved("weight_bits", 864 * (number + 1), "bit", layer=layer),
            Metric("accumulator_bits", 14 + number, "bit", Origin.PROVED, layer=layer),
        ]
    return tuple(results)


def good() -> Result:
    """A tagger that agrees everywhere, fits, and loses little."""
    scores = {
        "float": Scores(8000, 0.9712, 0.9105),
        "quantized": Scores(8000, 0.9697, 0.9081),
        "csim": Scores(8000, 0.9697, 0.9081),
        "rtl": Scores(500, 0.9689, 0.9060),
        "tflite": Scores(8000, 0.9688, 0.9072),
    }
    return Result(
        edgeinfer="0.1.0",
        model=ModelPart(name="hit-tagger-pooled", file="model/hit-tagger-pooled.keras",
                        sha256=DIGEST, parameters=21_314, layers=9),
        task=Task.CLASSIFICATION,
        device="coral, xczu7ev",
        recipe=RecipePart(digest=DIGEST, activations={"relu1": "ufixed<6,2>"}, weights={}),
        program=ProgramPart(
            digest=DIGEST, ops=9, parameters=21_314, macs=1_204_224,
            inputs=(Tensor(name="patch", shape=(48, 48, 1), type="fixed<8,3>"),),
            outputs=(Tensor(name="kind", shape=(3,), type="fixed<18,9>"),),
        ),
        data=DataPart(name="patches.npz", sha256=DIGEST, samples=8000),
        accuracy=scores,
        agreement=(
            Agreement(("interpret", "engine"), 64, True, 0.0, 0),
            Agreement(("engine", "csim"), 8000, True, 0.0, 0),
            Agreement(("engine", "rtl"), 500, True, 0.0, 0),
            Agreement(("engine", "tflite"), 8000, False, 0.25, 61),  # which it may
            Agreement(("int8 program", "tflite"), 8000, True, 0.0, 0),
        ),
        targets={
            "hls": TargetPart(
                title="HLS", stage="csim", stage_title="C simulation", project=DIGEST,
                settings=HLS_SETTINGS,
                part="xczu7ev-ffvc1156-2-e", device="xczu7ev",
                budget={"dsp": 1728, "lut": 230_400, "ff": 460_800, "bram18": 624},
            ),
            "rtl": TargetPart(
                title="RTL", stage="rtl", stage_title="RTL simulation", project=DIGEST,
                settings={"clock_mhz": 100.0},
            ),
            "edgetpu": TargetPart(
                title="Edge TPU", stage="tflite", stage_title="TFLite", exact=False,
                pipelined=False, project=DIGEST, settings={"runtime": 14},
                device="coral", budget={"sram_bytes": 8_388_608},
            ),
        },
        metrics=metrics(),
        findings=("patch: 0.12% of the input values lie beyond fixed<8,3>, -4..3.96875.",
                  "The stages were tried on 64 of 8000 samples of patches.npz."),
        artefacts=tuple(Artefact(path=f"hls/firmware/w{n}.h", sha256=DIGEST) for n in range(4)),
        steps=(StepPart(name="load", seconds=0.4, cached=False),
               StepPart(name="csim", seconds=12.2, cached=True)),
    )  # fmt: skip


def disagreeing() -> Result:
    """The same, with a simulation that differs and a design that is far too large."""
    parted = Divergence("relu1", "Requant", 17, (3, 4, 0), 12, 11, "ufixed<6,2>", "ufixed<6,3>",
                        "it rounds where the Program cuts off")  # fmt: skip
    wide = [m for m in metrics() if not (m.target == "hls" and m.name == "dsp" and not m.layer)]
    wide.append(Metric("dsp", 4000, "DSP", Origin.SYNTHESISED, state=DesignState.C_SYNTHESIS,
                       tool="Vitis HLS", version="2024.1",
                       target="hls"))  # fmt: skip
    return good().model_copy(
        update={
            "agreement": (
                Agreement(("engine", "csim"), 8000, False, 0.25, 3, parted),
                Agreement(("engine", "tflite"), 8000, False, 0.25, 61),
            ),
            "metrics": tuple(wide),
        }
    )


def histogram(first: int, *counts: int, zeros: int = 0) -> Histogram:
    """Counts over powers of two."""
    top = 2.0 ** (first + len(counts))
    return Histogram(first=first, counts=counts, zeros=zeros, low=-top, high=top)


def layer(name: str, op: str, reads: tuple[str, ...], macs: int = 0, **more: object) -> Layer:
    """One value."""
    inputs = {
        "shape": (48, 48, 4),
        "parameters": macs // 100,
        "format": "fixed<14,6>",
        "proved_low": -20.5,
        "proved_high": 20.25,
        "observed_low": -7.25,
        "observed_high": 8.0,
        "observed_bits": 12,
        "float_rms": 1.5,
        "error_rms": 0.05,
    }
    return Layer(name=name, op=op, reads=reads, macs=macs, **(inputs | more))


def profile(classes: int = 3) -> Profile:
    """What goes on inside `good`: a network with a branch."""

    def rounded(name: str, read: str, error: float) -> Layer:
        clipped = Clipped(values=90_000, below=30_000, above=1_200, wraps=False, rectifies=True)
        return layer(name, "Requant", (read,), format="ufixed<6,2>", error_rms=error,
                     rounding_rms=error * 0.7, observed_bits=6, clipped=clipped)  # fmt: skip

    layers = (
        layer("patch", "Input", (), error_rms=0.02, format="fixed<8,3>"),
        layer("conv1", "Conv", ("patch",), 331_776, weight_format="fixed<6,1>"),
        rounded("relu1", "conv1", 0.08),
        layer("conv2", "Conv", ("relu1",), 663_552, weight_format="fixed<6,1>", error_rms=0.1),
        layer("skip", "Pool", ("relu1",), error_rms=0.09),
        layer("sum", "Pair", ("conv2", "skip"), error_rms=0.11),
        rounded("relu2", "sum", 0.13),
        layer("dense", "Dense", ("relu2",), 196_608, weight_format="fixed<6,0>", error_rms=0.12),
        layer("logits", "Dense", ("dense",), 12_288, weight_format="fixed<6,1>", error_rms=0.15),
    )
    curves = []
    for stage, power in (("float", 0.06), ("quantized", 0.064)):
        for number in range(classes):
            kept = np.linspace(0.0, 1.0, 60)
            signal = kept ** (power * (1 + number))
            curves.append(
                Curve(stage=stage, output="kind", label=f"class {number}",
                      auc=float(np.trapezoid(signal, kept)), background=tuple(kept.tolist()),
                      signal=tuple(signal.tolist()))
            )  # fmt: skip
    values = {"format": "fixed<6,1>", "bits": 6, "lsb": 0.03125, "least": -1.0, "most": 0.96875}
    distributions = tuple(
        Distribution(name=name, kind=kind, floats=histogram(-9, 1, 4, 9, 20, 60, 90, 70, 30, 2),
                     integers=histogram(-6, 9, 25, 65, 90, 72, 30, zeros=34), **values)
        for name, kind in (("conv1", "weight"), ("dense", "weight"), ("relu1", "activation"))
    )  # fmt: skip
    return Profile(
        program=DIGEST,
        samples=8000,
        tapped=512,
        origin="8000 samples of patches.npz",
        scores=(
            StageScore(stage="float", auc=Uncertain(value=0.9712, low=0.9691, high=0.9733),
                       accuracy=Uncertain(value=0.9105, low=0.904, high=0.917)),
            StageScore(stage="quantized", auc=Uncertain(value=0.9697, low=0.9675, high=0.9719),
                       accuracy=Uncertain(value=0.9081, low=0.9016, high=0.9143)),
        ),
        lost=Lost(auc=Uncertain(value=0.0015, low=0.0009, high=0.0021)),
        curves=tuple(curves),
        layers=layers,
        distributions=distributions,
    )  # fmt: skip


def hostile() -> tuple[Result, Profile]:
    """Names that try to break out, and figures that are no numbers."""
    nan, inf = float("nan"), float("inf")
    bad = [
        Metric(
            name, value, name, Origin.MEASURED, tool=name, version=name, target=name, layer=where
        )
        for name in STRANGE
        for value in (nan, inf, -inf, 1e300, -1e-300)
        for where in (None, name)
    ]
    bad += [
        Metric("lut", nan, "LUT", Origin.SYNTHESISED, state=DesignState.C_SYNTHESIS, target="hls"),
        Metric("latency_us", nan, "us", Origin.SYNTHESISED, state=DesignState.NONE, target="hls"),
        Metric(
            "dsp",
            inf,
            "DSP",
            Origin.ESTIMATED,
            0.0,
            inf,
            state=DesignState.C_SYNTHESIS,
            target="hls",
        ),
        Metric("ff", -5.0, "FF", Origin.SYNTHESISED, state=DesignState.C_SYNTHESIS, target="hls"),
    ]
    base = good()
    result = base.model_copy(
        update={
            "model": base.model.model_copy(update={"name": SCRIPT * 50, "file": f"model/{SCRIPT}"}),
            "device": SCRIPT,
            "targets": {
                name: TargetPart(stage=name, project=DIGEST, settings={name: name}, part=name,
                                 device=name, budget={name: 0, "lut": 0})
                for name in STRANGE
            },
            "accuracy": {name: Scores(0, nan, 2.0, inf) for name in STRANGE}
            | {"float": Scores(10, None, 0.5, heads={SCRIPT: Scores(1, nan)})},
            "agreement": tuple(
                Agreement((name, SCRIPT), 0, False, 1e300, 0,
                          Divergence(SCRIPT, SCRIPT, 0, (), 0, 1, SCRIPT, SCRIPT, SCRIPT))
                for name in STRANGE
            ),
            "metrics": tuple(bad),
            "findings": STRANGE,
            "artefacts": tuple(Artefact(path=name, sha256=DIGEST) for name in STRANGE),
            "steps": tuple(StepPart(name=name, seconds=1e300, cached=True) for name in STRANGE),
            "data": DataPart(name=SCRIPT, sha256=DIGEST, samples=0),
        }
    )  # fmt: skip
    named = [
        layer(name, name, STRANGE[:number], macs=10**30, error_rms=nan, float_rms=inf,
              weight_format=name, proved_low=-inf, proved_high=nan)
        for number, name in enumerate(STRANGE)
    ]  # fmt: skip
    inside = profile()
    return result, inside.model_copy(
        update={
            "layers": tuple(named),
            "curves": tuple(
                curve.model_copy(update={"label": SCRIPT, "output": SCRIPT, "auc": nan})
                for curve in inside.curves
            ),
            "distributions": tuple(
                each.model_copy(update={"name": name, "format": name})
                for each in inside.distributions
                for name in STRANGE
            ),
            "origin": SCRIPT,
        }
    )


def deep(count: int = 10_000) -> tuple[Result, Profile]:
    """A network of very many layers with long names, each with figures of its own."""
    layers, figures = [], []
    for number in range(count):
        name = f"block{number // 7}/stage{number % 7}/convolution_with_a_long_name_{number}"
        before = (layers[-1].name,) if layers else ()
        layers.append(layer(name, "Conv", before, macs=1000 + number % 997,
                            error_rms=0.01 * (1 + number % 13)))  # fmt: skip
        figures += [
            Metric(
                "lut",
                10.0 + number,
                "LUT",
                Origin.SYNTHESISED,
                state=DesignState.C_SYNTHESIS,
                target="hls",
                layer=name,
            ),
            Metric("accumulator_bits", 20, "bit", Origin.PROVED, layer=name),
        ]
    result = good()
    return (
        result.model_copy(update={"metrics": (*result.metrics, *figures)}),
        profile().model_copy(update={"layers": tuple(layers)}),
    )


def with_metrics(result: Result, **values: float) -> Result:
    """The same result with other values of whole-design figures."""
    changed = [
        replace(m, value=values[m.name], low=None, high=None, origin=Origin.SYNTHESISED)
        if m.name in values and m.layer is None and m.target == "hls"
        else m
        for m in result.metrics
    ]
    return result.model_copy(update={"metrics": tuple(changed)})


def sweep(count: int) -> list[tuple[str, Result]]:
    """Runs of one network with more and more bits: dearer, and mostly better."""
    results = []
    for number in range(count):
        bits = 2 + number % 12
        worth = 0.9712 - 0.08 * 2.0 ** (-bits / 1.6) - 0.0004 * (number * 7 % 5)
        cost = 1.0 + 0.35 * bits + 0.05 * (number * 3 % 7)
        base = good()
        scores = {
            stage: Scores(8000, 0.9712 if stage == "float" else worth, 0.91)
            for stage in ("float", "quantized", "csim")
        }
        scaled = tuple(
            replace(m, value=m.value * cost / 3, low=m.low and m.low * cost / 3,
                    high=m.high and m.high * cost / 3)
            if m.target == "hls" else m
            for m in base.metrics
        )  # fmt: skip
        change = {"accuracy": scores, "metrics": scaled}
        results.append((f"runs/{bits}bit-{number}", base.model_copy(update=change)))
    return results
