# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Write a network of SparseConvNet, MinkowskiEngine or spconv as an ONNX file that edgeinfer reads.

Copy this file to where the framework runs; it needs `onnx` and NumPy only. A network that is made
of the frameworks' containers is one call:

    export_sparse(model.eval(), (512, 512), "net.onnx")

A network with a forward function of its own is told part by part, in the order of that function:

    net = SparseExport((512, 512))
    fine = net.run(model.encoder, net.image)
    coarse = net.run(model.down, fine)
    net.save(net.run(model.head, net.join(net.run(model.up, coarse), fine)), "net.onnx")

Images are (batch, channels, rows, columns), zero where no site is; coordinates of sites are (row,
column). A pixel is a site where some channel lies above `threshold`; with `most=n`, the first n of
them, row by row. The file's operators have the domain `edgeinfer.sparse`, and the file says what
each means in operators of ONNX, so any runtime computes it everywhere, for a check.
"""

# ruff: noqa: B905 - these frameworks run on Pythons whose zip() has no `strict`

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DOMAIN, OPSET = "edgeinfer.sparse", 17
CONTAINERS = ("Sequential", "SparseSequential")
NO_WORK = ("Identity", "Dropout", "MinkowskiDropout", "InputLayer", "OutputLayer", "SparseToDense")
NORMS = (
    *("BatchNormalization", "BatchNormReLU", "BatchNormLeakyReLU"),
    *("BatchNorm1d", "MinkowskiBatchNorm"),
)


class CannotExportError(ValueError):
    """What has no place in the file, by name."""


@dataclass(frozen=True)
class SiteSet:
    """Where sites lie; `finer` is the set that these were made of, by the windows of `step`."""

    name: str
    size: tuple
    finer: SiteSet | None = None
    step: tuple = ()


@dataclass(frozen=True)
class SparseValue:
    """Channels at sites."""

    name: str
    sites: SiteSet
    channels: int


@dataclass(frozen=True)
class SparseLayer:
    """A convolution: the kernel is (rows, columns, channels in, channels out). `to`: "same" sites,
    "coarser" ones, or back to "finer" ones. `step`: windows that make the coarser set."""

    kernel: np.ndarray
    bias: np.ndarray | None
    to: str = "same"
    strides: tuple = (1, 1)
    pads: tuple = ((0, 0), (0, 0))
    dilation: tuple = (1, 1)
    step: tuple = ()
    key: str | None = None  # by which spconv finds the finer set


@dataclass
class SparseExport:
    """A file in the making."""

    size: tuple
    channels: int = 1
    threshold: float = 0.0
    most: int | None = None
    nodes: list = field(default_factory=list)
    weights: list = field(default_factory=list)
    keys: dict = field(default_factory=dict)
    coarser: dict = field(default_factory=dict)
    image: SparseValue = field(init=False)

    def __post_init__(self):
        self.size = pair(self.size)
        sites = self.add("Sites", ["image"], "sites", threshold=float(self.threshold))
        if self.most is not None:
            sites = self.add("FirstSites", [sites], "first_sites", most=int(self.most))
        name = self.add("AtSites", ["image", sites], "image_at_sites")
        self.image = SparseValue(name, SiteSet(sites, self.size), self.channels)

    def add(self, kind, inputs, wanted, domain=DOMAIN, **attributes):
        """Append an operator; the name of what it makes."""
        name = f"{wanted}_{len(self.nodes)}"
        node = helper.make_node(kind, inputs, [name], name, domain=domain, **attributes)
        self.nodes.append(node)
        return name

    def weight(self, values):
        """Store an array; its name."""
        name = f"weights_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values, "f4"), name))
        return name

    def run(self, module, x, path="model"):
        """What a module makes of a value; lists of values go between ConcatTable and JoinTable."""
        kind = type(module).__name__
        if kind in CONTAINERS:
            return self._run_sequence(list(module._modules.items()), x, path)
        if kind == "ConcatTable":
            children = module._modules.items()
            return [self.run(child, x, f"{path}.{name}") for name, child in children]
        if kind in ("JoinTable", "AddTable"):
            if isinstance(x, SparseValue):
                raise refusal(path, module, "it reads one value, not those of a ConcatTable")
            return self.join(*x) if kind == "JoinTable" else self.sum(*x)
        if not isinstance(x, SparseValue):
            raise refusal(path, module, "it reads several values")
        if kind in NO_WORK:
            return x
        if kind in NORMS:
            return self._norm(x, *norm_of(module))
        if kind in ("ReLU", "LeakyReLU", "MinkowskiReLU", "MinkowskiLeakyReLU"):
            return self._rectify(x, leak_of(module))
        reader = LAYERS.get(kind)
        if reader is None:
            raise refusal(
                path,
                module,
                "this script does not know its class; if it only calls other layers, give these "
                "to run() one by one, in the order of its forward(), with join() and sum()",
            )
        return self._convolve(reader(module, x, path), x, module, path)

    def join(self, *values):
        """Channels side by side."""
        self._same_sites(values)
        name = self.add("Concat", [v.name for v in values], "joined", "", axis=1)
        return SparseValue(name, values[0].sites, sum(v.channels for v in values))

    def sum(self, *values):
        """Values added."""
        self._same_sites(values)
        name = values[0].name
        for value in values[1:]:
            name = self.add("Add", [name, value.name], "sum", "")
        return SparseValue(name, values[0].sites, values[0].channels)

    def save(self, y, path):
        """Write the file with one output."""
        self.nodes.append(helper.make_node("Identity", [y.name], ["output"], "output"))
        shapes = [("image", self.channels, self.size), ("output", y.channels, y.sites.size)]
        image, output = (
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", channels, *size])
            for name, channels, size in shapes
        )
        graph = helper.make_graph(self.nodes, "sparse", [image], [output], self.weights)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
        model = helper.make_model(
            graph, opset_imports=opsets, functions=meanings(), ir_version=8,
            producer_name="edgeinfer export_sparse.py",
        )  # fmt: skip
        onnx.save(model, str(path))

    def _run_sequence(self, children, x, path):
        """Modules one after another; a norm behind a convolution becomes part of its weights."""
        place = 0
        while place < len(children):
            name, module = children[place]
            after = children[place + 1][1] if place + 1 < len(children) else None
            reader = LAYERS.get(type(module).__name__)
            where = f"{path}.{name}"
            if reader and type(after).__name__ in NORMS and isinstance(x, SparseValue):
                scale, shift, leak = norm_of(after)
                layer = reader(module, x, where)
                bias = shift if layer.bias is None else layer.bias * scale + shift
                scaled = {**vars(layer), "kernel": layer.kernel * scale, "bias": bias}
                x = self._convolve(SparseLayer(**scaled), x, module, where)
                x = self._rectify(x, leak)
                place += 1
            else:
                x = self.run(module, x, where)
            place += 1
        return x

    def _same_sites(self, values):
        if len({value.sites.name for value in values}) > 1:
            raise CannotExportError("Values at different sites cannot be joined or added.")

    def _convolve(self, layer, x, module, path):
        if layer.kernel.shape[2] != x.channels:
            raise refusal(path, module, f"it reads {x.channels} channels")
        sites = self._sites_of(layer, x, module, path)
        after = sites.size if layer.to == "finer" else x.sites.size
        before = x.sites.size if layer.to == "finer" else sites.size
        reach = [(k - 1) * d + 1 for k, d in zip(layer.kernel.shape, layer.dilation)]
        axes = zip(before, layer.strides, reach, layer.pads, after)
        # what the windows do not cover at the end of the finer image
        rest = [n - ((c - 1) * s + r - sum(p)) for c, s, r, p, n in axes]
        pads = [before for before, _ in layer.pads] + [after for _, after in layer.pads]
        settings = {"strides": layer.strides, "pads": pads, "dilations": layer.dilation}
        if layer.to == "finer":
            order, kind = (2, 3, 0, 1), "SparseUp"
            settings["output_padding"] = rest
        else:
            order, kind = (3, 2, 0, 1), "SparseConv"
        inputs = [x.name, sites.name, self.weight(layer.kernel.transpose(order))]
        channels = layer.kernel.shape[3]
        bias = np.zeros(channels) if layer.bias is None else layer.bias
        name = self.add(kind, [*inputs, self.weight(bias)], kind.lower(), **settings)
        return SparseValue(name, sites, channels)

    def _sites_of(self, layer, x, module, path):
        if layer.to == "same":
            return x.sites
        if layer.to == "finer":
            if layer.key is not None and layer.key not in self.keys:
                raise refusal(path, module, f"no layer before it has the indice_key {layer.key!r}")
            coarse = x.sites if layer.key is None else self.keys[layer.key]
            if coarse is not x.sites or coarse.finer is None or coarse.step[:2] != layer.step[:2]:
                raise refusal(path, module, "its windows are not those that made these sites")
            return coarse.finer
        window, strides, pads, dilation = layer.step
        spread = [(w - 1) * d + 1 for w, d in zip(window, dilation)]
        axes = zip(x.sites.size, spread, strides, pads)
        size = tuple((n + sum(p) - w) // s + 1 for n, w, s, p in axes)
        place = (x.sites.name, layer.step)
        if place not in self.coarser:
            name = self.add(
                "CoarserSites", [x.sites.name], "coarser_sites", kernel_shape=window,
                strides=strides, pads=[b for b, _ in pads] + [a for _, a in pads],
                dilations=dilation,
            )  # fmt: skip
            self.coarser[place] = SiteSet(name, size, x.sites, layer.step)
        if layer.key is not None:
            self.keys[layer.key] = self.coarser[place]
        return self.coarser[place]

    def _norm(self, x, scale, shift, leak):
        numbers = [self.weight(v) for v in (scale, shift, 0 * scale, 0 * scale + 1)]
        name = self.add("BatchNormalization", [x.name, *numbers], "norm", "", epsilon=0.0)
        name = self.add("AtSites", [name, x.sites.name], "norm_at_sites")
        return self._rectify(SparseValue(name, x.sites, x.channels), leak)

    def _rectify(self, x, leak):
        if leak == 1:
            return x
        kind, settings = ("LeakyRelu", {"alpha": leak}) if leak else ("Relu", {})
        return SparseValue(
            self.add(kind, [x.name], kind.lower(), "", **settings), x.sites, x.channels
        )


def export_sparse(model, size, path, channels=1, threshold=0.0, most=None):
    """Write a network that consists of containers and layers."""
    net = SparseExport(size, channels, threshold, most)
    net.save(net.run(model, net.image), path)


def refusal(path, module, reason):
    """The error that names a layer."""
    return CannotExportError(f"{path} ({type(module).__name__}) cannot be written: {reason}.")


def array(values):
    """A tensor of any framework as numbers."""
    values = values.detach().cpu().numpy() if hasattr(values, "detach") else values
    return np.asarray(values, np.float64)


def pair(values):
    """Two whole numbers from one, or from two."""
    numbers = [int(value) for value in np.asarray(array(values)).reshape(-1)]
    if len(numbers) not in (1, 2):
        raise CannotExportError(f"{numbers} are not sizes of an image: only two dimensions are.")
    return tuple(numbers * 2 if len(numbers) == 1 else numbers)


def bias_of(module):
    """One number for each output channel, or none."""
    return None if module.bias is None else array(module.bias).reshape(-1)


def norm_of(module):
    """Scale, shift and leak of a batch norm in inference."""
    norm = getattr(module, "bn", module)
    mean, variance = (
        array(getattr(norm, new) if hasattr(norm, new) else getattr(norm, old))
        for new, old in (("running_mean", "runningMean"), ("running_var", "runningVar"))
    )
    scale = 1 / np.sqrt(variance + norm.eps)
    scale = scale if norm.weight is None else array(norm.weight) * scale
    shift = -mean * scale + (0 if norm.bias is None else array(norm.bias))
    return scale, shift, float(getattr(module, "leakiness", 1))


def leak_of(module):
    """What a rectifier multiplies negative numbers with."""
    if "Leaky" not in type(module).__name__:
        return 0.0
    inner = getattr(module, "module", module)
    return float(inner.leak if hasattr(inner, "leak") else inner.negative_slope)


# SparseConvNet: weights are (window, [groups,] in, out), or the first of these multiplied.


def scn_convolution(module, x, path):
    """SubmanifoldConvolution, Convolution and Deconvolution."""
    if int(module.dimension) != 2 or getattr(module, "groups", 1) != 1:
        raise refusal(path, module, "it has groups, or not two dimensions")
    window = pair(module.filter_size)
    kernel = array(module.weight).reshape(*window, int(module.nIn), int(module.nOut))
    if type(module).__name__ in ("SubmanifoldConvolution", "ValidConvolution"):
        pads = tuple((w // 2, w - 1 - w // 2) for w in window)
        return SparseLayer(kernel, bias_of(module), pads=pads)
    strides = pair(module.filter_stride)
    step = (window, strides, ((0, 0), (0, 0)), (1, 1))
    if type(module).__name__ == "Deconvolution":
        return SparseLayer(kernel, bias_of(module), "finer", strides, step=step)
    if any((n - w) % s for n, w, s in zip(x.sites.size, window, strides)):
        raise refusal(path, module, f"its windows do not fill {x.sites.size}")
    return SparseLayer(kernel, bias_of(module), "coarser", strides, step=step)


def scn_network(module, x, path):
    """NetworkInNetwork: a matrix at each site."""
    return SparseLayer(array(module.weight)[None, None], bias_of(module))


# MinkowskiEngine: weights are (window, in, out), the first axis of the window fastest. An even
# window begins at its site. Coarser sites are those of the strides' tiles, whatever the window.


def minkowski_convolution(module, x, path):
    """MinkowskiConvolution and MinkowskiConvolutionTranspose."""
    region = module.kernel_generator
    if int(module.dimension) != 2 or "HYPER_CUBE" not in str(region.region_type):
        raise refusal(path, module, "its windows are no rectangles of two dimensions")
    for name in ("expand_coordinates", "generate_new_coordinates"):
        if getattr(region, name, False):
            raise refusal(path, module, "it makes new sites")
    window, strides = pair(region.kernel_size), pair(region.kernel_stride)
    dilation = pair(region.kernel_dilation)
    ends = (int(module.in_channels), int(module.out_channels))
    kernel = array(module.kernel).reshape(window[1], window[0], *ends).transpose(1, 0, 2, 3)
    tiles = (strides, strides, ((0, 0), (0, 0)), (1, 1))
    to = "finer" if "Transpose" in type(module).__name__ else "coarser"
    to = "same" if strides == (1, 1) else to
    if to == "same" and "Transpose" in type(module).__name__ and window != (1, 1):
        raise refusal(path, module, "it is transposed, and has no strides")
    if to == "coarser" and any(n % s for n, s in zip(x.sites.size, strides)):
        raise refusal(path, module, f"its strides do not divide {x.sites.size}")
    fine = x.sites.finer.size if to == "finer" and x.sites.finer else x.sites.size
    pads = []
    for n, w, s, d in zip(fine, window, strides, dilation):
        before, reach = d * (w // 2) if w % 2 else 0, d * (w - 1) + 1
        pads.append((before, max(0, (n // s - 1) * s + reach - n - before)))
    return SparseLayer(kernel, bias_of(module), to, strides, tuple(pads), dilation, tiles)


# spconv: weights are (out, window, in) since 2.0, and (window, in, out) before.


def spconv_convolution(module, x, path):
    """SubMConv2d, SparseConv2d and SparseInverseConv2d."""
    activation = str(getattr(module, "act_type", None)).rsplit(".", 1)[-1]
    if activation not in ("None", "None_") or module.groups != 1:
        raise refusal(path, module, "it has groups, or an activation of its own")
    window, strides = pair(module.kernel_size), pair(module.stride)
    dilation, kind = pair(module.dilation), type(module).__name__
    weight, ends = array(module.weight), (int(module.in_channels), int(module.out_channels))
    if window == (1, 1) and (kind == "SubMConv2d" or strides == (1, 1)):
        return SparseLayer(weight.reshape(1, 1, *ends), bias_of(module))  # as spconv views it
    if weight.shape == (ends[1], *window, ends[0]) and hasattr(module, "algo"):
        weight = weight.transpose(1, 2, 3, 0)
    elif weight.shape != (*window, *ends) or hasattr(module, "algo"):
        raise refusal(path, module, f"its weights have the shape {weight.shape}")
    if kind == "SubMConv2d":
        if any(w % 2 == 0 for w in window):
            raise refusal(path, module, "its window is even")
        pads = tuple((d * (w // 2),) * 2 for w, d in zip(window, dilation))
        return SparseLayer(weight, bias_of(module), pads=pads, dilation=dilation)
    key = module.indice_key
    if kind == "SparseConv2d":
        pads = tuple((p, p) for p in pair(module.padding))
        step = (window, strides, pads, dilation)
        return SparseLayer(weight, bias_of(module), "coarser", strides, pads, dilation, step, key)
    if not x.sites.step or x.sites.step[0] != window:
        raise refusal(path, module, "its windows are not those that made these sites")
    _, strides, pads, dilation = step = x.sites.step  # of the layer that it inverts
    return SparseLayer(weight, bias_of(module), "finer", strides, pads, dilation, step, key)


def linear(module, x, path):
    """A dense layer at each site."""
    inner = getattr(module, "linear", module)
    return SparseLayer(array(inner.weight).T[None, None], bias_of(inner))


LAYERS = {
    **dict.fromkeys(("SubmanifoldConvolution", "ValidConvolution"), scn_convolution),
    **dict.fromkeys(("Convolution", "Deconvolution"), scn_convolution),
    "NetworkInNetwork": scn_network,
    **dict.fromkeys(
        ("MinkowskiConvolution", "MinkowskiConvolutionTranspose"), minkowski_convolution
    ),
    **dict.fromkeys(("SubMConv2d", "SparseConv2d", "SparseInverseConv2d"), spconv_convolution),
    **dict.fromkeys(("Linear", "MinkowskiLinear"), linear),
}


def meanings():
    """What each operator of the file means, in operators of ONNX."""
    windows = ("strides", "pads", "dilations")
    conv = [inner("Conv", "x weights bias", "all", *windows), inner("Mul", "all sites", "y")]
    up = [
        inner("ConvTranspose", "x weights bias", "all", *windows, "output_padding"),
        inner("Mul", "all sites", "y"),
    ]
    lit = [
        inner("ReduceMax", "x", "largest", axes=[1], keepdims=1),
        inner("Constant", "", "limit", value_float="threshold"),
        inner("Greater", "largest limit", "above"),
        inner("Cast", "above", "y", to=TensorProto.FLOAT),
    ]
    first = [
        inner("Flatten", "sites", "flat", axis=1),
        inner("Constant", "", "axis", value=numpy_helper.from_array(np.int64(1))),
        inner("CumSum", "flat axis", "number"),
        inner("Constant", "", "limit", value_int="most"),
        inner("Cast", "limit", "real_limit", to=TensorProto.FLOAT),
        inner("LessOrEqual", "number real_limit", "early"),
        inner("Cast", "early", "kept", to=TensorProto.FLOAT),
        inner("Shape", "sites", "shape"),
        inner("Reshape", "kept shape", "mask"),
        inner("Mul", "mask sites", "y"),
    ]
    coarser = [inner("MaxPool", "sites", "y", "kernel_shape", *windows)]
    return [
        meaning("Sites", "x", lit, "threshold"),
        meaning("FirstSites", "sites", first, "most"),
        meaning("CoarserSites", "sites", coarser, "kernel_shape", *windows),
        meaning("AtSites", "x sites", [inner("Mul", "x sites", "y")]),
        meaning("SparseConv", "x sites weights bias", conv, *windows),
        meaning("SparseUp", "x sites weights bias", up, *windows, "output_padding"),
    ]


def inner(kind, inputs, output, *passed, **settings):
    """A node of a meaning; `passed` are attributes of the operator around it, and so are texts."""
    plain = {name: value for name, value in settings.items() if not isinstance(value, str)}
    node = helper.make_node(kind, inputs.split(), [output], **plain)
    texts = {name: value for name, value in settings.items() if isinstance(value, str)}
    for name, outer in [*((name, name) for name in passed), *texts.items()]:
        attribute = node.attribute.add()
        attribute.name, attribute.ref_attr_name = name, outer
        attribute.type = REFERRED.get(name, onnx.AttributeProto.INTS)
    return node


REFERRED = {"value_float": onnx.AttributeProto.FLOAT, "value_int": onnx.AttributeProto.INT}


def meaning(kind, inputs, nodes, *attributes):
    """An operator of the file."""
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_function(DOMAIN, kind, inputs.split(), ["y"], nodes, opsets, attributes)
