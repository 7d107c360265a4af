"""Every operator of ONNX that is taken, against onnx's own reference evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import snncc
from snncc.frontend.onnx.evaluate import OPERATORS
from tests.onnx_cases import interpreted

RNG = np.random.default_rng(0)
BATCH = 3
IMAGE, ROW, CUBE = (2, 6, 5), (6,), (4, 2, 3)
CORNER = {"kernel_shape": [2, 2], "pads": [1, 1, 0, 0]}


@dataclass(frozen=True)
class Use:
    """One operator: the feature shapes of its inputs, constants behind them, attributes, operator set."""

    op: str
    shapes: tuple[tuple[int, ...], ...]
    constants: tuple[Any, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int = 18
    outputs: int = 1
    first: tuple[Any, ...] = ()    # constants before the inputs

    def __str__(self) -> str:
        return f"{self.op}-{self.opset}"


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(0, 1, shape).astype(np.float32)


ONE = (
    *("Neg", "Abs", "Floor", "Ceil", "Round", "Exp", "Sin", "Cos", "Tanh", "Sigmoid", "Sign", "Relu"),
    *("Identity", "Reciprocal", "LeakyRelu", "Dropout", "Softplus", "Softsign", "HardSwish", "Elu"),
    "HardSigmoid",
)
USES = [
    *(Use(op, (CUBE,)) for op in ONE),
    *(Use(op, (CUBE, CUBE)) for op in ("Add", "Sub", "Mul", "Div", "Min", "Max", "Sum")),
    *(Use(op, (CUBE, (1, 1, 3))) for op in ("Add", "Sub", "Mul")),
    *(Use(op, (CUBE,), (floats(4, 1, 1),)) for op in ("Add", "Mul")),
    Use("Sub", (CUBE,), first=(floats(3),)),
    Use("Mul", ((4, 2, 1),), (floats(1, 1, 1, 3),)),
    Use("Pow", (CUBE,), (np.float32(3),)), Use("Pow", (CUBE,), (np.float32(-2),)),
    Use("Clip", (CUBE,), (np.float32(-0.5), np.float32(0.5))),
    Use("Clip", (CUBE,), attributes={"min": -0.5, "max": 0.25}, opset=9),
    Use("Reshape", (CUBE,), (ints(0, 8, -1),)), Use("Reshape", (CUBE,), (ints(BATCH, 2, 2, 6),)),
    Use("Flatten", (CUBE,)), Use("Flatten", (CUBE,), attributes={"axis": -3}),
    Use("Squeeze", ((1, 4, 1),), (ints(1, 3),)), Use("Squeeze", ((1, 4),),
    attributes={"axes": [1]}, opset=11),
    Use("Unsqueeze", (CUBE,), (ints(2, -1),)), Use("Unsqueeze", (CUBE,), attributes={"axes": [1]}, opset=11),
    Use("Transpose", (CUBE,), attributes={"perm": [0, 3, 1, 2]}),
    Use("Expand", ((1, 2, 1),), (ints(1, 4, 2, 3),)), Use("Tile", (CUBE,), (ints(1, 2, 1, 3),)),
    Use("Gather", (CUBE,), (ints(3, 0, -1),), {"axis": 1}), Use("Gather", (CUBE,), (np.array(2),),
    {"axis": -1}),
    Use("Slice", (CUBE,), (ints(3, 0), ints(-5, 2), ints(1, 3), ints(-2, 1))),
    Use("Slice", (CUBE,), attributes={"starts": [1], "ends": [3], "axes": [1]}, opset=9),
    Use("Split", (CUBE,), (ints(1, 3),), {"axis": 1}, outputs=2),
    Use("Split", (CUBE,), attributes={"axis": 1, "split": [2, 2]}, opset=11, outputs=2),
    Use("Concat", (CUBE, (4, 1, 3)), attributes={"axis": 2}),
    Use("Concat", (CUBE,), (np.ones((1, 4, 2, 2), np.float32).repeat(BATCH, 0),), {"axis": -1}),
    Use("ReduceSum", (CUBE,), (ints(1, 3),), {"keepdims": 0}), Use("ReduceSum", (CUBE,), (ints(1, 2, 3),)),
    Use("ReduceMean", (CUBE,), attributes={"axes": [2, 3], "keepdims": 0}, opset=13),
    Use("ReduceMax", (CUBE,), attributes={"axes": [3], "keepdims": 1}, opset=13),
    Use("MatMul", (ROW,), (floats(6, 4),)), Use("MatMul", ((3, 6),), (floats(6, 4),)),
    Use("MatMul", ((2, 3, 6), (2, 6, 4))), Use("Softmax", (CUBE,), attributes={"axis": 2}),
    Use("Softmax", (ROW,)), Use("LogSoftmax", (CUBE,)),
    Use("Gemm", (ROW,), (floats(4, 6), floats(4)), {"transB": 1}),
    Use("Gemm", (ROW,), (floats(6, 4), floats(1, 4)), {"alpha": 0.5, "beta": 2.0}),
    Use("Conv", (IMAGE,), (floats(4, 2, 3, 3), floats(4)), {"pads": [1, 0, 0, 1], "strides": [2, 1]}),
    Use("Conv", (IMAGE,), (floats(4, 1, 2, 2),), {"group": 2, "dilations": [2, 1], "auto_pad": "VALID"}),
    Use("Conv", (IMAGE,), (floats(2, 2, 2, 2),), {"auto_pad": "SAME_UPPER"}),
    Use("MaxPool", (IMAGE,), attributes={"kernel_shape": [2, 3], "strides": [2, 2], "pads": [0, 1, 1, 1]}),
    Use("AveragePool", (IMAGE,), attributes=CORNER),
    Use("AveragePool", (IMAGE,), attributes={**CORNER, "count_include_pad": 1}),
    Use("GlobalAveragePool", (IMAGE,)), Use("GlobalMaxPool", (IMAGE,)),
    Use("ConvTranspose", (IMAGE,), (floats(2, 3, 3, 2), floats(3)),
        {"strides": [2, 1], "pads": [1, 0, 0, 1]}),
    Use("ConvTranspose", ((2, 7),), (floats(2, 3, 4),), {"strides": [2], "auto_pad": "SAME_UPPER"}),
    Use("Pad", (IMAGE,), (ints(0, 0, 1, 2, 0, 1, 0, 0), np.float32(0.5))),
    Use("Pad", (IMAGE,), attributes={"pads": [0, 0, 1, 1, 0, 0, 2, 0], "mode": "reflect"}, opset=9),
    Use("Pad", (IMAGE,), (ints(0, 0, 2, 0, 0, 0, 0, 3),), {"mode": "edge"}),
    Use("Resize", (IMAGE,), (np.float32([]), np.float32([1, 1, 2, 3])),
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
    Use("Resize", (IMAGE,), (np.float32([]), np.float32([]), ints(BATCH, 2, 9, 4))),
    *(Use(op, (CUBE,), attributes={"axis": axis, "keepdims": kept}) for op in ("ArgMax", "ArgMin")
      for axis, kept in ((1, 1), (3, 0))),
    Use("ArgMax", (ROW,), attributes={"axis": -1, "keepdims": 0}),
    Use("PRelu", (CUBE,), (floats(4, 1, 1),)),
    Use("ReduceMin", (CUBE,), attributes={"axes": [1], "keepdims": 0}, opset=13),
    Use("ReduceMax", (CUBE,), attributes={"axes": [1, 3], "keepdims": 1}, opset=13),
    Use("BatchNormalization", (IMAGE,), (floats(2), floats(2), floats(2), np.float32([0.5, 2.0]))),
    *(Use(op, (CUBE, CUBE)) for op in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")),
    Use("GreaterOrEqual", (CUBE,), (np.float32(0.25),)), Use("Less", (CUBE,), (floats(3),)),
]  # fmt: skip
ELSEWHERE = {  # tested on files of exporters, or with other types than floats
    "Cast", "CastLike", "Where", "Not", "And", "Or", "Xor", "Equal", "RNN", "GRU", "LSTM", "Upsample",
    "Shape", "Size", "Sqrt", "Log",
}  # fmt: skip


def built(use: Use) -> onnx.ModelProto:
    named = [f"x{k}" for k in range(len(use.shapes))]
    before, behind = [f"a{k}" for k in range(len(use.first))], [f"c{k}" for k in range(len(use.constants))]
    outputs = [f"y{k}" for k in range(use.outputs)]
    node = helper.make_node(use.op, [*before, *named, *behind], outputs, "node", **use.attributes)
    compares = use.op.startswith(("Greater", "Less", "Arg"))
    nodes = [node, *(helper.make_node("Cast", [y], [f"{y}f"], to=1) for y in outputs if compares)]
    shown = [f"{y}f" for y in outputs] if compares else outputs
    given = [helper.make_tensor_value_info(n, 1, [BATCH, *s]) for n, s in zip(named, use.shapes, strict=True)]
    made = [helper.make_tensor_value_info(y, TensorProto.FLOAT, None) for y in shown]
    pairs = zip((*before, *behind), (*use.first, *use.constants), strict=True)
    held = [numpy_helper.from_array(np.asarray(array), name) for name, array in pairs]
    graph = helper.make_graph(nodes, "one", given, made, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", use.opset)], ir_version=8)


def compared(model: onnx.ModelProto, path: Path, inputs: Sequence[np.ndarray], **options: Any) -> None:
    """The network of a model gives what onnx's evaluator does."""
    given = {value.name: a for value, a in zip(model.graph.input, inputs, strict=True)}
    wanted = ReferenceEvaluator(model).run(None, given)
    for value, array in zip(model.graph.output, wanted, strict=True):
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, array.shape))
    onnx.save(model, path)
    network = snncc.import_onnx(path, **options)
    found = interpreted(network, given)
    for name, array in zip(network.plan.flat.outputs, wanted, strict=True):
        result = np.broadcast_to(found[name], array.shape) if found[name].ndim == array.ndim else found[name]
        np.testing.assert_allclose(result, array, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("use", USES, ids=str)
def test_an_operator_means_what_onnx_says(use: Use, tmp_path: Path) -> None:
    inputs = [floats(BATCH, *shape) for shape in use.shapes]
    compared(built(use), tmp_path / "one.onnx", inputs, states={})


def found_of(use: Use, path: Path, x: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    model = built(use)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y0", TensorProto.FLOAT, shape))
    onnx.save(model, path)
    return interpreted(snncc.import_onnx(path, states={}), {"x0": x})["y0"]


PLACED = [
    (
        {"group": 2, "strides": [2, 3], "output_padding": [1, 2], "dilations": [2, 1]},
        *((2, 2, 2, 3), (4, 14, 17)),
    ),
    ({"strides": [2, 2], "output_shape": [12, 9]}, (2, 1, 3, 3), (1, 12, 9)),
]


@pytest.mark.parametrize(("attributes", "shape", "made"), PLACED)
def test_transposed_convolutions_beyond_the_evaluator(
    attributes: dict[str, Any], shape: tuple[int, ...], made: tuple[int, ...], tmp_path: Path
) -> None:
    """Each pixel's window is added where ONNX's formula puts it; onnx's evaluator cannot do these."""
    x, weight = floats(BATCH, *IMAGE), floats(*shape)
    use = Use("ConvTranspose", (IMAGE,), (weight,), attributes)
    found = found_of(use, tmp_path / "one.onnx", x, (BATCH, *made))
    groups, stride = attributes.get("group", 1), attributes["strides"]
    apart = attributes.get("dilations", [1, 1])
    whole = np.zeros((BATCH, made[0], 30, 30))
    for c, i, j, k, m, o in np.ndindex(*IMAGE, *shape[2:], shape[1]):
        at = c // (2 // groups) * shape[1] + o, stride[0] * i + apart[0] * k, stride[1] * j + apart[1] * m
        whole[:, at[0], at[1], at[2]] += x[:, c, i, j] * weight[c, o, k, m]
    first = [1, 1] if "output_shape" in attributes else [0, 0]  # of [13, 11] pixels one at each end goes
    place = tuple(slice(s, s + n) for s, n in zip(first, made[1:], strict=True))
    np.testing.assert_allclose(found, whole[(..., *place)], rtol=1e-5, atol=1e-5)


def test_a_pad_may_take_away(tmp_path: Path) -> None:
    x = floats(BATCH, *IMAGE)
    use = Use("Pad", (IMAGE,), (ints(1, 0, -1, 2), np.float32(0), ints(2, 3)))
    wanted = np.pad(x[:, :, :-1], [(0, 0), (0, 0), (1, 0), (0, 2)])
    np.testing.assert_array_equal(found_of(use, tmp_path / "one.onnx", x, wanted.shape), wanted)


RECURRENT = [("RNN", 1, {}), ("GRU", 3, {"linear_before_reset": 1}), ("LSTM", 4, {})]


@pytest.mark.parametrize(("op", "gates", "attributes"), RECURRENT, ids=[row[0] for row in RECURRENT])
def test_recurrent_layers_are_loops_over_time(
    op: str, gates: int, attributes: dict[str, Any], tmp_path: Path
) -> None:
    size, inputs = 3, 4
    rows = gates * size
    held = {"w": floats(1, rows, inputs), "r": floats(1, rows, size), "b": floats(1, 2 * rows)}
    made = ["y", "y_h", "y_c"][: 2 + (op == "LSTM")]
    node = helper.make_node(op, ["x", *held], made, "node", hidden_size=size, **attributes)
    graph = helper.make_graph(
        [node], "one", [helper.make_tensor_value_info("x", 1, [5, BATCH, inputs])],
        [helper.make_tensor_value_info(name, 1, None) for name in made],
        [numpy_helper.from_array(a, name) for name, a in held.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    compared(model, tmp_path / "one.onnx", [floats(5, BATCH, inputs)])


def test_every_operator_is_tested() -> None:
    assert {op for op in OPERATORS if not op.startswith(("@", "snncc::"))} == {u.op for u in USES} | ELSEWHERE


LOGIC = """
<ir_version: 8, opset_import: ["" : 18]>
logic (float[3,4] x, float[3,4] y) => (float[3,4] a, float[3,4] b, float[3,4] c, float[3,4] d, float[3,4] e) {
    zero = Constant<value_float = 0.0>()
    half = Constant<value_float = 0.5>()
    p = Greater(x, zero)
    q = LessOrEqual(y, half)
    r = And(p, q)
    s = Or(p, q)
    t = Xor(p, q)
    u = Not(s)
    v = Equal(x, y)
    a = Where(r, x, y)
    b = Where(s, half, zero)
    c = Cast<to = 1>(t)
    d = CastLike(u, x)
    w = Or(v, p)
    n = Shape(x)
    m = Size(x)
    f = Cast<to = 6>(x)
    g = Cast<to = 1>(f)
    h = Abs(x)
    i = Sqrt(h)
    one = Constant<value_float = 1.0>()
    j = Add(h, one)
    k = Log(j)
    l = Where(w, g, k)
    e = Add(l, i)
}
"""


def test_truth_and_integers_are_numbers(tmp_path: Path) -> None:
    inputs = [3 * floats(3, 4), floats(3, 4)]
    compared(onnx.parser.parse_model(LOGIC), tmp_path / "logic.onnx", inputs, states={})


LISTS = """
<ir_version: 8, opset_import: ["" : 18]>
lists (float[3,4] x, float[3,4] y) => (float[3,3,4] a, float[3,8] b, float[3,1] c, float[3,2,2] d) {
    none = SequenceEmpty<dtype = 1>()
    one = SequenceInsert(none, x)
    two = SequenceInsert(one, y)
    front = Constant<value_int = 0>()
    last = Constant<value_int = -1>()
    sum = Add(x, y)
    three = SequenceInsert(two, sum, front)
    a = ConcatFromSequence<axis = 1, new_axis = 1>(three)
    shorter = SequenceErase(three, front)
    b = ConcatFromSequence<axis = -1>(shorter)
    each = SplitToSequence<axis = 1>(x)
    c = SequenceAt(each, last)
    halves = Constant<value_ints = [2, 2]>()
    parts = SplitToSequence<axis = 1>(y, halves)
    u = SequenceAt(parts, front)
    v = SequenceAt(parts, last)
    pair = SequenceConstruct(u, v)
    d = ConcatFromSequence<axis = 1, new_axis = 1>(pair)
}
"""


def test_lists_are_the_values_in_them(tmp_path: Path) -> None:
    compared(onnx.parser.parse_model(LISTS), tmp_path / "lists.onnx", [floats(3, 4), floats(3, 4)], states={})


def collecting(body: str, initial: str) -> onnx.ModelProto:
    """A loop over the steps of x, cut into a list, with a state and a list that it carries."""
    text = f"""
    <ir_version: 8, opset_import: ["" : 18]>
    collect (float[5,3,4] x) => (float[5,3,4] y) {{
        each = SplitToSequence<axis = 0, keepdims = 0>(x)
        steps = SequenceLength(each)
        true = Constant<value: tensor = bool {{1}}>()
        zeros = Constant<value: tensor = float[3,4] {{0,0,0,0,0,0,0,0,0,0,0,0}}>()
        {initial}
        last, out = Loop(steps, true, zeros, empty) <body = graph
            (int64 i, bool on, float[3,4] v, seq(float[3,4]) l)
            => (bool go, float[3,4] w, seq(float[3,4]) m) {{
            go = Identity(on)
            now = SequenceAt(each, i)
            w = Add(v, now)
            {body}
        }}>
        y = ConcatFromSequence<axis = 0, new_axis = 1>(out)
    }}
    """
    return onnx.parser.parse_model(text)


EMPTY, APPENDED = "empty = SequenceEmpty<dtype = 1>()", "m = SequenceInsert(l, w)"


def test_a_list_that_a_loop_appends_to_is_a_sequence(tmp_path: Path) -> None:
    compared(collecting(APPENDED, EMPTY), tmp_path / "collect.onnx", [floats(5, 3, 4)])


@pytest.mark.parametrize(
    ("body", "initial", "message"),
    [
        (APPENDED, "empty = SequenceConstruct(zeros)", "is one that is empty before the loop"),
        ("n = SequenceInsert(l, w)\n m = SequenceInsert(n, w)", EMPTY, "may append one value to a list"),
        ("m = SequenceErase(l)", EMPTY, "works on a list that a loop grows"),
        ("m = Identity(l)", EMPTY, "may append one value to a list at each step"),
    ],
)
def test_other_lists_are_refused(body: str, initial: str, message: str, tmp_path: Path) -> None:
    onnx.save(collecting(body, initial), tmp_path / "collect.onnx")
    with pytest.raises(snncc.CompileError, match=message):
        snncc.import_onnx(tmp_path / "collect.onnx")
