"""Writes a network as an ONNX file: one step, its states as inputs and outputs.

Everything is in ONNX's own operators but three functions of the domain `snncc`: Spike, whose attribute names
the surrogate, Detach and Substitute. They have bodies, so any runtime runs the file; reading it back gives
the same network, gradients included. What the format cannot express is refused by name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from snncc_runtime.files import write_file

from ...errors import CompileError
from ...graph import Node
from ...nn.module import Module
from ..dsl import Network, trace
from ..foreign import shown_path
from ..report import Finding, Report
from .domain import OPSET, SPIKES, functions, written
from .read import DOMAIN

IR = 8
BATCH_AXIS = "batch"
PLAIN = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "neg": "Neg", "abs": "Abs", "sqrt": "Sqrt",
    "floor": "Floor", "round": "Round", "exp": "Exp", "log": "Log", "sin": "Sin", "cos": "Cos",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid", "minimum": "Min", "maximum": "Max",
}  # fmt: skip


def export_onnx(
    network: Module,
    path: str | os.PathLike[str],
    *,
    weights: Mapping[str, np.ndarray] | Network | None = None,
) -> Report:
    """Write one step of a network as an ONNX file, with its initial weights or others, say `model.params`.

    Inputs and outputs are [batch, *features]; each state is an input and, with _out behind its name, an
    output, which may be one of the network's. Raises CompileError that names what a step of ONNX cannot
    express or is not written yet; then nothing is.
    """
    traced = weights if isinstance(weights, Network) else trace(network)
    if isinstance(weights, Mapping):
        traced = replace(traced, parameters={**traced.parameters, **weights})
    run = _Writer(traced)
    for name in traced.graph.order:
        run.add(traced.graph[name])
    model = run.model(type(network).__name__)
    onnx.checker.check_model(model, full_check=True)
    write_file(Path(path), model.SerializeToString())
    return Report(shown_path(path), f"ONNX opset {OPSET}", tuple(run.findings))


class _Writer:
    """Collects nodes, inputs and weights."""

    def __init__(self, network: Network) -> None:
        self.network, self.graph = network, network.graph
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.weights: list[Any] = []
        self.initial: dict[str, float] = {}
        self.findings: list[Finding] = []
        self.names: dict[str, str] = {}
        self.functions: set[str] = set()
        ports = [output.name for output in self.graph.outputs]
        self.taken = {*ports, *(f"{name}_out" for name in ports), *network.parameters}

    def add(self, node: Node) -> None:
        """One value of the graph."""
        inside = node.name in self.taken and node.op.name != "input"
        self.names[node.name] = f"{node.name}/value" if inside else node.name
        special: dict[str, Callable[[Node], None]] = {
            "input": self._input, "constant": self._constant, "parameter": self._parameter,
            "vector": self._vector,
            "state": self._state, "delay": self._delay, "last": lambda node: None,
            "linear": self._linear, "conv": self._conv, "max_pool": self._pool, "sum_pool": self._pool,
            "reshape": self._reshape, "take": self._take, "where": self._where, "greater": self._compare,
            "greater_equal": self._compare, "spike": self._spike, "expand": self._expand,
            "spread": self._spread,
            "detach": self._stand_in, "substitute": self._stand_in,
        }  # fmt: skip
        if node.op.name in PLAIN:
            self._node(PLAIN[node.op.name], node, self._operands(node))
        elif node.op.name in special:
            special[node.op.name](node)
        else:
            raise CompileError(
                f"%{node.name}: {node.op.name} is not written to ONNX, and a step of the network needs it"
            )
        if node.op.name in ("spike", "linear", "conv"):
            self.findings.append(Finding(node.name, node.op.name))

    def _operands(self, node: Node) -> list[str]:
        """Operands that ONNX aligns as the graph does: one number a sample gets axes for the features."""
        rank = len(node.type.features)
        return [self._aligned(self.graph[i], rank) for i in node.inputs]

    def _aligned(self, node: Node, rank: int) -> str:
        if not rank or node.type.features or not (node.type.batch or node.type.time):
            return self.names[node.name]
        made = f"{self.names[node.name]}/rank{rank}"
        if all(made not in n.output for n in self.nodes):
            axes = self._stored(f"{made}/axes", np.arange(1, rank + 1))
            self.nodes.append(helper.make_node("Unsqueeze", [self.names[node.name], axes], [made]))
        return made

    def _node(self, op: str, node: Node, inputs: list[str], domain: str = "", **attributes: Any) -> None:
        layer, _, last = node.name.rpartition(".")
        label = f"/{layer}/{last}" if layer else last  # as PyTorch names nodes by their modules
        made = helper.make_node(op, inputs, [self.names[node.name]], label, domain=domain, **attributes)
        self.nodes.append(made)
        if domain:
            self.functions.add(op)

    def _stored(self, name: str, array: Any) -> str:
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _value(self, name: str, features: tuple[int, ...]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH_AXIS, *features])

    def _input(self, node: Node) -> None:
        self.inputs.append(self._value(node.name, node.type.features))

    def _constant(self, node: Node) -> None:
        op: Any = node.op
        self._stored(node.name, np.float32(op.value))

    def _parameter(self, node: Node) -> None:
        op: Any = node.op
        self.names[node.name] = op.label
        self._stored(op.label, np.asarray(self.network.parameters[op.label], np.float32))

    def _vector(self, node: Node) -> None:
        op: Any = node.op
        self._stored(node.name, np.array(op.values, np.float32))

    def _state(self, node: Node) -> None:
        """The caller's array at the first step; the number that it starts at goes into the metadata."""
        op: Any = node.op
        start: Any = self.graph[node.inputs[0]].op
        if start.name != "constant":
            raise CompileError(f"%{node.name}: ONNX has no initial values of states but numbers")
        self.initial[op.label] = start.value
        self.inputs.append(self._value(op.label, node.type.features))
        self.names[node.name] = op.label

    def _delay(self, node: Node) -> None:
        op: Any = node.op
        if op.steps != 1:
            raise CompileError(f"%{node.name}: a delay of {op.steps} steps cannot be written to ONNX yet")
        self.names[node.name] = self.names[node.inputs[1]]

    def _linear(self, node: Node) -> None:
        self._node("Gemm", node, [self.names[i] for i in node.inputs], transB=1)

    def _conv(self, node: Node) -> None:
        op: Any = node.op
        self._node(
            "Conv", node, [self.names[i] for i in node.inputs], group=op.groups, **_windows(op.windows)
        )

    def _pool(self, node: Node) -> None:
        op: Any = node.op
        attributes: dict[str, Any] = {**_windows(op.windows), "kernel_shape": list(op.windows.size)}
        if op.name == "max_pool":
            self._node("MaxPool", node, [self.names[node.inputs[0]]], **attributes)
            return
        if op.mean not in ("window", "inside") or any(op.beyond):
            raise CompileError(f"%{node.name}: ONNX pools by means, not by sums")
        if set(attributes.pop("dilations")) != {1}:
            raise CompileError(f"%{node.name}: ONNX has no means of dilated windows in operator set {OPSET}")
        whole = int(op.mean == "window")
        self._node("AveragePool", node, [self.names[node.inputs[0]]], count_include_pad=whole, **attributes)

    def _reshape(self, node: Node) -> None:
        batch = [-1] if node.type.batch or node.type.time else []
        shape = self._stored(f"{node.name}/shape", np.array([*batch, *node.type.features], np.int64))
        self._node("Reshape", node, [self.names[node.inputs[0]], shape])

    def _take(self, node: Node) -> None:
        op: Any = node.op
        name, source = node.name, self.names[node.inputs[0]]
        flat = self._stored(f"{name}/flat", np.array([-1, self.graph[node.inputs[0]].type.size], np.int64))
        index = self._stored(f"{name}/index", np.array(op.index, np.int64))
        shape = self._stored(f"{name}/shape", np.array([-1, *op.features], np.int64))
        self.nodes.append(helper.make_node("Reshape", [source, flat], [f"{name}/row"]))
        self.nodes.append(helper.make_node("Gather", [f"{name}/row", index], [f"{name}/taken"], axis=1))
        self._node("Reshape", node, [f"{name}/taken", shape])

    def _spread(self, node: Node) -> None:
        op: Any = node.op
        groups, rank = self.graph[node.inputs[0]].type.features, len(op.features)
        shape = (
            [1] * (rank - len(groups)) + list(groups)
            if op.trailing
            else [*groups] + [1] * (rank - len(groups))
        )
        given = self.graph[node.inputs[0]].type
        lead = [-1] if given.batch or given.time else []
        upright = self._stored(f"{node.name}/shape", np.array([*lead, *shape], np.int64))
        self._node("Reshape", node, [self.names[node.inputs[0]], upright])

    def _expand(self, node: Node) -> None:
        """A value with more axes: by adding zeros of that shape that vary with the batch."""
        like = next((n for n in self.graph if n.type.batch and n.type.features == node.type.features
                     and n.name in self.names and n.op.name in ("state", "input")), None)  # fmt: skip
        given = self.graph[node.inputs[0]].type
        if given.features == node.type.features and (given.batch or not node.type.batch):
            self._node("Identity", node, [self.names[node.inputs[0]]])
            return
        if like is None:
            raise CompileError(
                f"%{node.name}: a value that no input has the shape of cannot be written to ONNX"
            )
        zero = self._stored(f"{node.name}/zero", np.float32(0))
        self.nodes.append(helper.make_node("Mul", [self.names[like.name], zero], [f"{node.name}/zeros"]))
        self._node(
            "Add",
            node,
            [self._aligned(self.graph[node.inputs[0]], len(node.type.features)), f"{node.name}/zeros"],
        )

    def _where(self, node: Node) -> None:
        condition, a, b = self._operands(node)
        self.nodes.append(
            helper.make_node("Cast", [condition], [f"{node.name}/condition"], to=TensorProto.BOOL)
        )
        self._node("Where", node, [f"{node.name}/condition", a, b])

    def _compare(self, node: Node) -> None:
        op = "Greater" if node.op.name == "greater" else "GreaterOrEqual"
        self.nodes.append(helper.make_node(op, self._operands(node), [f"{node.name}/truth"]))
        self._node("Cast", node, [f"{node.name}/truth"], to=TensorProto.FLOAT)

    def _spike(self, node: Node) -> None:
        op: Any = node.op
        kind = next(name for name, test in SPIKES.items() if (test == "Greater") == op.strict)
        text = "" if op.surrogate is None else str(op.surrogate)
        self._node(kind, node, [self.names[node.inputs[0]]], DOMAIN, surrogate=text)

    def _stand_in(self, node: Node) -> None:
        kind = "Detach" if node.op.name == "detach" else "Substitute"
        self._node(kind, node, [self.names[i] for i in node.inputs], DOMAIN)

    def model(self, name: str) -> Any:
        """The file: outputs, then the states after the step."""
        ports = {o.name: o.value for o in self.graph.outputs if o.role == "output"}
        states = {o.name: self._fed(o.name) for o in self.graph.outputs if o.role == "state_out"}
        ended = [name for name, value in ports.items() if self.graph[value].op.name == "last"]
        if ended:
            raise CompileError(
                f"output {ended[0]}: is the value of the last step; ONNX files are written as one step, "
                "whose states are outputs anyway"
            )
        outputs = [self._alias(name, self.graph[value]) for name, value in ports.items()]
        pairs = {}
        for state, fed in states.items():
            pairs[state] = self._next(state, fed, ports)
            if pairs[state] not in ports:
                outputs.append(self._alias(pairs[state], self.graph[fed]))
        graph = helper.make_graph(self.nodes, name, self.inputs, outputs, self.weights)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
        used = [f for f in functions() if f.name in self.functions]
        model = helper.make_model(
            graph, opset_imports=opsets, functions=used, ir_version=IR, producer_name="snncc"
        )
        helper.set_model_props(model, {DOMAIN: written(pairs, self.initial, [*ports])})
        return model

    def _fed(self, label: str) -> str:
        """The value that a state's delay is fed."""
        return next(n.inputs[0] for n in self.graph
                    if n.op.name == "delay" and self.graph[n.inputs[1]].op.label == label)  # type: ignore[attr-defined]  # fmt: skip

    def _next(self, state: str, fed: str, ports: Mapping[str, str]) -> str:
        """The output for the state after the step: an output that is it already, or a new name."""
        name = f"{state}_out"
        taken = {*ports, *(i.name for i in self.inputs), *(o for n in self.nodes for o in n.output)}
        while name in taken and ports.get(name) != fed:
            name += "_"
        return name

    def _alias(self, name: str, node: Node) -> Any:
        self.nodes.append(helper.make_node("Identity", [self.names[node.name]], [name]))
        return self._value(name, node.type.features)


def _windows(windows: Any) -> dict[str, Any]:
    pads = [*windows.before, *windows.after]
    return {"strides": list(windows.stride), "dilations": list(windows.dilation), "pads": pads}
