"""PyTorch modules to ONNX graphs, and graphs to fewer bits. See `exporter` for how a task becomes a file."""

import io
import logging
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import compose, helper, numpy_helper
from torch import Tensor, nn

DYNAMIC = torch.export.Dim.DYNAMIC
RECURRENT = (torch.ops.aten.lstm.input, torch.ops.aten.gru.input)


def trace(
    module: nn.Module,
    arguments: Mapping[str, Tensor],
    dynamic: Mapping[str, tuple[str | int, ...]],
    outputs: Sequence[str],
) -> onnx.ModelProto:
    """The ONNX form of `module(*arguments)`.

    `dynamic` gives, for each input, a name for every axis that may change and a number for every one that may not.
    """
    shapes = tuple(  # of one variadic argument
        {axis: DYNAMIC for axis, name in enumerate(dynamic[key]) if isinstance(name, str)} for key in arguments
    )
    # torch keeps how it took these layers apart for the traced length, and would take them apart so in the next trace, too.
    for layer in RECURRENT:
        layer._dispatch_cache.clear()
    loud = logging.getLogger("torch.onnx")
    level = loud.level
    loud.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _Positional(module).eval(), tuple(arguments.values()), dynamo=True, dynamic_shapes=(shapes,),
                input_names=list(arguments), output_names=list(outputs), verbose=False,
            )  # fmt: skip
    finally:
        loud.setLevel(level)
    assert program is not None  # with `dynamo` it returns one
    model = program.model_proto
    for value in model.graph.input:
        _name_axes(value, dynamic[value.name])
    for value in model.graph.output:  # the exporter writes traced sizes here
        _name_axes(value, tuple(f"{value.name}_{axis}" for axis in range(len(value.type.tensor_type.shape.dim))))
    del model.graph.value_info[:]
    return model


class _Positional(nn.Module):
    """Takes any number of tensors as one variadic argument, which is how the exporter wants their dynamic axes described."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, *tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.module(*tensors)


def _name_axes(value: onnx.ValueInfoProto, names: tuple[str | int, ...]) -> None:
    for axis, name in zip(value.type.tensor_type.shape.dim, names):
        if isinstance(name, str):
            axis.dim_param = name


def quantise(model: onnx.ModelProto) -> onnx.ModelProto:
    """Matrices of matrix products and tables of embeddings as int8 with a scale for each column or row.

    They become floats again when the file is loaded. Activations stay floats: ranges taken from a whole batch would make an answer
    depend on what else is in the batch.
    """
    graph = model.graph
    axis_of = {}  # initializer -> the axis that has a scale for each of its places
    for node in graph.node:
        if node.op_type == "MatMul":
            axis_of[node.input[1]] = 1
        elif node.op_type == "Gather":
            axis_of[node.input[0]] = 0
        elif node.op_type == "Gemm":
            axis_of[node.input[1]] = 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
    restored = []
    for tensor in list(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if tensor.name not in axis_of or values.ndim != 2 or values.dtype != np.float32:
            continue
        scale = np.maximum(np.abs(values).max(axis=1 - axis_of[tensor.name], keepdims=True) / 127, 1e-12).astype(
            np.float32
        )
        graph.initializer.remove(tensor)
        rounded = np.rint(values / scale).astype(np.int8)
        held = {f"{tensor.name}/int8": rounded, f"{tensor.name}/scale": scale}
        graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in held.items())
        whole = f"{tensor.name}/float"
        restored.append(helper.make_node("Cast", [f"{tensor.name}/int8"], [whole], to=onnx.TensorProto.FLOAT))
        restored.append(helper.make_node("Mul", [whole, f"{tensor.name}/scale"], [tensor.name]))
    for place, node in enumerate(restored):
        graph.node.insert(place, node)
    return model


def is_rounded(model: onnx.ModelProto) -> bool:
    """Whether any weights are int8."""
    return any(tensor.data_type == onnx.TensorProto.INT8 for tensor in model.graph.initializer)


def quantise_with(model: onnx.ModelProto, batches: list[dict]) -> onnx.ModelProto:
    """Weights and activations as int8, the ranges of activations taken from `batches` of inputs (Jacob et al. 2018); for convolutions."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.stream = iter(batches)

        def get_next(self) -> dict | None:
            return next(self.stream, None)

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("root").setLevel(logging.ERROR)
        target = Path(folder) / "int8.onnx"
        quantize_static(
            model, target, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        return onnx.load(target)


def start_and_step(start: onnx.ModelProto, step: onnx.ModelProto, moving: list[str]) -> onnx.ModelProto:
    """Two graphs in one file: with the input `start` true the state comes from the graph `start`, else from the inputs;
    then the graph `step` runs on it. Outputs are the step's, and every state value as `next_NAME`."""
    names = [value.name for value in start.graph.output]
    inner = compose.add_prefix(start, "start/")
    source = start.graph.input[0]
    for node in inner.graph.node:
        node.input[:] = [source.name if name == f"start/{source.name}" else name for name in node.input]
    then = helper.make_graph(inner.graph.node, "then", [], list(inner.graph.output), list(inner.graph.initializer))
    same = [helper.make_node("Identity", [name], [f"same/{name}"]) for name in names]
    otherwise = helper.make_graph(
        same, "else", [], [_renamed(value, f"same/{value.name}") for value in start.graph.output]
    )
    choose = helper.make_node(
        "If", ["start"], [f"state/{name}" for name in names], then_branch=then, else_branch=otherwise
    )

    outer = compose.add_prefix(step, "step/")
    given = {f"step/{name}": f"state/{name}" for name in names} | {"step/token": "token", "step/scores": "scores"}
    given |= {f"step/next_{name}": f"next_{name}" for name in moving}
    for node in outer.graph.node:
        node.input[:] = [given.get(name, name) for name in node.input]
        node.output[:] = [given.get(name, name) for name in node.output]
    kept = [helper.make_node("Identity", [f"state/{name}"], [f"next_{name}"]) for name in names if name not in moving]

    inputs = [source, helper.make_tensor_value_info("start", onnx.TensorProto.BOOL, []), *step.graph.input]
    results = [step.graph.output[0], *(_renamed(value, f"next_{value.name}") for value in start.graph.output)]
    graph = helper.make_graph(
        [choose, *outer.graph.node, *kept], "model", inputs, results, list(outer.graph.initializer)
    )
    domains = {opset.domain: opset for opset in [*start.opset_import, *step.opset_import]}
    merged = helper.make_model(graph, opset_imports=list(domains.values()), ir_version=step.ir_version)
    functions = {(f.domain, f.name): f for f in [*inner.functions, *outer.functions]}
    merged.functions.extend(functions.values())
    return merged


def _renamed(value: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    copy = onnx.ValueInfoProto()
    copy.CopyFrom(value)
    copy.name = name
    return copy
