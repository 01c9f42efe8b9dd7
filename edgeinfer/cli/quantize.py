# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verbs ``quantize`` and ``search``: formats from data, weights trained for them, and which
widths are worth their cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from edgeinfer.base.errors import UsageError
from edgeinfer.cli.options import (
    BatchAxis,
    BitsOf,
    Data,
    Json,
    ModelFile,
    ModeOptions,
    RecipeFile,
    axis_of_word,
    read_widths,
    unused_path,
)
from edgeinfer.cli.search_lines import closing_lines, search_lines, training_lines
from edgeinfer.cli.terminal import answer, import_keras_quietly, progress
from edgeinfer.cli.verbs import figures
from edgeinfer.precision.learned.front import Bounds, read_bounds
from edgeinfer.precision.learned.settings import LearnedSettings
from edgeinfer.precision.lookup.settings import LookupSettings
from edgeinfer.precision.qat.settings import QatSettings
from edgeinfer.run.search_options import (
    SearchStrategyName,
    Unrolling,
    choose_strategy,
    order_search,
    refuse_idle_options,
    search_target,
)

BITS = 8
MINUTES = 20.0
WORST_SHOWN = 8

Method = Annotated[
    Literal["ptq", "qat"],
    Parameter(
        help="ptq, the default: formats from data, weights adapted to them; qat: weights trained "
        "as well"
    ),
]
QuantizeMethod = Annotated[
    Literal["ptq", "qat", "learned", "lookup"],
    Parameter(
        help="ptq: formats from data, weights adapted to them; qat: weights trained as well; "
        "learned: a width for each weight and activation trained too, a front of networks in a "
        "folder; lookup: such a front of small networks of tables"
    ),
]
ValidationData = Annotated[
    Path | None, Parameter(help="samples like --data, used only to judge the result")
]
PerChannel = Annotated[
    bool, Parameter(negative="", help="a scale (a power of two) for every output channel")
]


def quantize(
    model: ModelFile,
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"],
            help="q.keras (a QKeras model), recipe.toml, or a folder; by default the model's name "
            "and width with .keras, of learned widths a folder in runs/",
        ),
    ] = None,
    bits: Annotated[
        int | None, Parameter(help="width of weights and activations, 2 to 24; 8 by default")
    ] = None,
    input_bits: Annotated[
        int | None, Parameter(help="width of the inputs; the default is that of --bits")
    ] = None,
    bits_of: BitsOf = None,
    method: QuantizeMethod = "ptq",
    calibration: Annotated[
        Literal["outputs", "minmax", "percentile", "mse"],
        Parameter(
            help="how the binary point is placed: by the error of the outputs, or only by the range"
        ),
    ] = "outputs",
    percentile: Annotated[
        float | None,
        Parameter(help="percent of the values inside the range of --calibration percentile"),
    ] = None,
    per_channel: PerChannel = False,
    modes: ModeOptions = ModeOptions(),  # noqa: B008  # immutable
    recipe: RecipeFile = None,
    data: Data = None,
    validation_data: ValidationData = None,
    batch_axis: BatchAxis = "0",
    sensitivity: Annotated[
        bool,
        Parameter(
            negative="", help="also show what each tensor costs if only that one is quantized"
        ),
    ] = False,
    training: Annotated[QatSettings | None, Parameter(name="*")] = None,
    learned: Annotated[LearnedSettings | None, Parameter(name="*")] = None,
    lookup: Annotated[LookupSettings | None, Parameter(name="*")] = None,
    at_most: Annotated[
        list[str] | None,
        Parameter(negative="", help="of a front: choose a network with lut=2000 or fewer"),
    ] = None,
    at_least: Annotated[
        list[str] | None,
        Parameter(negative="", help="of a front: choose the cheapest with auc=0.93"),
    ] = None,
    teacher: Annotated[
        list[Path] | None,
        Parameter(
            negative="",
            help="of a front: a file of a larger network, whose answers teach instead of the "
            "model's; of several, their mean",
        ),
    ] = None,
    device: Annotated[
        str | None,
        Parameter(
            help="of a front, or with --prune-multipliers: the device whose hardware counts, see "
            "edgeinfer devices; by default xcvu9p for --cost adders, else lfe5u-85f"
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Choose a number format for every tensor of a model; write a quantized model or a recipe."""
    from edgeinfer.run.data import SampledModel
    from edgeinfer.run.quantize import QuantizeOrder, plan_formats, quantize_model
    from edgeinfer.zoo import ENTRIES, resolve

    settings = training or QatSettings()
    in_front = method in ("learned", "lookup")
    if output is None and in_front:
        output = Path("runs", f"{model.stem}-{method}")
    elif output is None:
        output = unused_path(Path(f"{model.stem}-{BITS if bits is None else bits}bit.keras"))
    if lookup is not None and method != "lookup":
        raise UsageError(
            "Tables, neurons and their inputs are those of a network of tables, and none is made.",
            hint="Add --method lookup.",
        )
    entry, axis = ENTRIES.get(str(model)), axis_of_word(batch_axis)
    source = SampledModel(resolve(model), entry, data, validation_data, axis)
    if in_front:
        from edgeinfer.run.learned import LearnedOrder, learn_widths

        idle = {
            "--bits": bits, "--bits-of": bits_of or None, "--input-bits": input_bits,
            "--percentile": percentile, "--recipe": recipe,
            "--per-channel": per_channel, "--sensitivity": sensitivity,
            "--calibration": calibration != "outputs", "--rounding": modes.rounding,
            "--overflow": modes.overflow != "saturate",
        }  # fmt: skip
        _refuse_beside_learned(method, idle)
        bounds = Bounds(
            read_bounds("--at-most", at_most or ()), read_bounds("--at-least", at_least or ())
        )
        front = LearnedOrder(
            source,
            output,
            learned or LearnedSettings(),
            settings,
            bounds,
            (lookup or LookupSettings()) if method == "lookup" else None,
            device,
            tuple(teacher or ()),
        )
        import_keras_quietly("Learning widths" if method == "learned" else "Learning tables")
        with progress() as watcher:
            document = learn_widths(front, watcher)
        answer(document, _learned_lines(document), as_json=json)
        return
    if learned is not None or at_most or at_least or teacher:
        raise UsageError(
            "Points, costs, bounds and teachers belong to a front of networks, and none is made.",
            hint="Add --method learned or --method lookup.",
        )
    plain = replace(settings, seed=0) == QatSettings()  # a seed is for simulated data as well
    _refuse_idle(None if plain else settings, method)
    order = QuantizeOrder(
        source=source,
        output=output,
        ptq=plan_formats(
            BITS if bits is None else bits,
            input_bits=input_bits,
            bits_of=read_widths(bits_of),
            calibration=calibration,
            percentile=percentile,
            per_channel=per_channel,
        ).with_modes(modes.rounding, modes.overflow),
        training=settings if method == "qat" else None,
        recipe=recipe,
        sensitivity=sensitivity,
        seed=settings.seed,
        device=device,
    )
    if output.suffix == ".keras" and source.path.is_file():
        import_keras_quietly(f"Writing {output.name}")
    with progress() as watcher:
        document = quantize_model(order, watcher)
    answer(document, _quantized_lines(document), as_json=json)


def search(
    model: ModelFile,
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"],
            help="a folder, by default runs/MODEL-search; name it again to continue the search",
        ),
    ] = None,
    bits: Annotated[int, Parameter(help="the uniform width that the search is compared with")] = 6,
    budget: Annotated[
        float | None,
        Parameter(help="the most that a recipe may cost, as a share of the cost of that width"),
    ] = None,
    cost: Annotated[
        str | None,
        Parameter(
            help="what to save: ebops, ebops_dense, weight_bits, or with --target one of its "
            "estimates (lut, ff, dsp, bram18, latency_cycles, ...); by default ebops, lut with "
            "--strategy training"
        ),
    ] = None,
    target: Annotated[
        str | None, Parameter(help="a target that also estimates the design of every recipe")
    ] = None,
    device: Annotated[
        str | None, Parameter(help="the device of --target, see edgeinfer devices")
    ] = None,
    unroll: Annotated[
        Unrolling | None,
        Parameter(help="of --target rtl: whether its designs are fully in parallel"),
    ] = None,
    strategy: Annotated[
        SearchStrategyName | None,
        Parameter(
            help="greedy, the default: step by step, by sensitivity; thorough: the whole front, "
            "with Optuna; training, the default with --unroll full: widths, zeros and learned "
            "widths, a training for each trial"
        ),
    ] = None,
    synth: Annotated[
        int | None,
        Parameter(help="of --strategy training: networks of the front to synthesise"),
    ] = None,
    method: Method | None = None,
    tolerance: Annotated[
        float,
        Parameter(help="the largest loss of score, below the float network, that is considered"),
    ] = 0.01,
    trials: Annotated[int | None, Parameter(help="the most recipes to try")] = None,
    per_channel: PerChannel = False,
    data: Data = None,
    validation_data: ValidationData = None,
    batch_axis: BatchAxis = "0",
    training: Annotated[QatSettings | None, Parameter(name="*")] = None,
    json: Json = False,
) -> None:
    """Search a width for every tensor and kernel, or trainings for a target; 20 minutes."""
    from edgeinfer.run.data import SampledModel
    from edgeinfer.run.search import REPAIR_EPOCHS
    from edgeinfer.zoo import ENTRIES, resolve

    path = resolve(model)
    output = Path("runs", f"{model.stem}-search") if output is None else output
    settings = training or QatSettings()
    bounded = settings.minutes is not None or trials is not None
    minutes = settings.minutes if bounded else MINUTES
    on_target = search_target(target, device, unroll)
    strategy = choose_strategy(strategy, unroll)
    by_training = strategy == "training"
    if by_training:
        idle = {"--budget": budget, "--per-channel": per_channel, "--method": method}
        refuse_idle_options(idle, strategy)
        how: QatSettings | None = settings
    else:
        refuse_idle_options({"--synth": synth}, strategy)
        # Minutes and seed are any search's.
        plain = replace(settings, minutes=None, seed=0) == QatSettings()
        _refuse_idle(None if plain else settings, method or "ptq")
        brief = replace(settings, epochs=REPAIR_EPOCHS) if plain else settings
        how = brief if method == "qat" else None
    entry, axis = ENTRIES.get(str(model)), axis_of_word(batch_axis)
    run = order_search(
        SampledModel(path, entry, data, validation_data, axis), output, strategy, on_target, how,
        seed=settings.seed, bits=bits, budget=budget, cost=cost, tolerance=tolerance,
        trials=trials, minutes=minutes, per_channel=per_channel, synth=synth or 0,
    )  # fmt: skip
    if by_training or path.is_file():
        plain_search = "A search, which writes its models as .keras,"
        import_keras_quietly("A search over trainings" if by_training else plain_search)
    with progress() as watcher:
        document = run(watcher)
    lines = training_lines if by_training else search_lines
    answer(document, lines(document), as_json=json)


def _refuse_idle(training: QatSettings | None, method: str) -> None:
    """An option that would do nothing is a mistake."""
    if training is not None and method != "qat":
        raise UsageError(
            "Epochs, pruning and the like belong to training, and nothing is trained.",
            hint="Add --method qat.",
        )


def _refuse_beside_learned(method: str, options: Mapping[str, object]) -> None:
    """Formats are what is learned, so none can be asked for."""
    idle = [name for name, value in options.items() if value not in (None, False, 0.0)]
    if idle:
        raise UsageError(
            f"--method {method} finds widths and zeros by itself, and does nothing with "
            f"{', '.join(idle)}.",
            hint="Leave that out, or choose another method.",
        )


def _learned_lines(document: dict[str, Any]) -> list[str]:
    score = document["objective"]
    lines = [f"{document['model']}: {score} {document['float_score']:.6g} as floats"]
    for point in document["points"]:
        marks = "*" if point["name"] == document["chosen"] else " "
        marks += "front" if point["name"] in document["front"] else ""
        costs = ", ".join(f"{name} {value:,.0f}" for name, value in point["costs"].items())
        lines.append(f"{point['name']} {marks:<7}{score} {point['score']:.6g}: {costs}")
    return [*lines, *closing_lines(document, ", front.json, front.svg, models")]


def _quantized_lines(document: dict[str, Any]) -> list[str]:
    model = document["model"]
    before, after = model["parameters"], model["program_parameters"]
    norms = "" if before == after else f" ({after:,} in the Program, norms folded)"
    lines = [
        f"{model['name']}: {before:,} parameters{norms}, "
        f"{model['macs']:,} multiply-accumulates a sample"
    ]
    for stage, metrics in document["metrics"].items():
        lines.append(f"{stage:<9} {figures(metrics)}")
    costs = ", ".join(f"{name} {value:,.0f}" for name, value in document["costs"].items())
    lines.append(f"costs     {costs}")
    if "training" in document:
        training = document["training"]
        before, best = training["epochs"][0], training["epochs"][training["best_epoch"]]
        lines.append(
            f"trained   {training['objective']} {before['score']:.6g} -> {best['score']:.6g} "
            f"(float {training['float_score']:.6g}), {best['zero_weights']:.0%} of weights zero"
        )
    for row in document.get("sensitivity", ())[:WORST_SHOWN]:
        drop = "" if row["score_drop"] is None else f", score drops {row['score_drop']:.2g}"
        lines.append(
            f"alone     {row['name']} {row['format']}: error {row['error']:.2g}, "
            f"{row['decision_flips']:.2%} decided otherwise{drop}"
        )
    lines += [f"finding   {finding}" for finding in document["findings"]]
    return [*lines, f"written   {document['output']}"]
