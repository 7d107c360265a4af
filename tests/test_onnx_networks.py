"""Imported networks beside networks of ours: they train alike, are as small, survive export and import."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import snncc
from snncc import nn
from snncc.cli import main
from snncc.commands.weights import load_into
from snncc.driver import generate
from snncc.frontend.dsl import Network, trace
from snncc.passes.differentiate import Differentiate
from snncc.passes.infer_types import InferTypes
from snncc.reference import Call, evaluate
from snncc.target import Target
from tests.onnx_cases import cases, interpreted
from tests.test_onnx_operators import floats

CASES = cases()
BETA = float(np.float32(0.95))


class Dense(nn.Module):
    """What snn_mlp_unrolled_dynT_ts was exported from."""

    inputs: ClassVar = {"x": nn.Input(12)}

    def __init__(self) -> None:
        self.fc1, self.lif1 = nn.Linear(12, 10), nn.Leaky(BETA)
        self.fc2, self.lif2 = nn.Linear(10, 4), nn.Leaky(BETA)

    def forward(self, x: Any) -> Any:
        out = self.lif2(self.fc2(self.lif1(self.fc1(x)).spk))
        return {"spk_rec": out.spk, "mem_rec": out.mem}


class Image(nn.Module):
    """Layers of every kind that ONNX has: convolution, pooling, normalisation, two kinds of neurons."""

    inputs: ClassVar = {"x": nn.Input(2, 6, 6)}

    def __init__(self) -> None:
        self.conv, self.pool = nn.Conv2d(2, 3, 3, padding=1), nn.MaxPool2d(2)
        self.lif1 = nn.Leaky(0.9, surrogate=nn.surrogate.FastSigmoid(slope=10.0))
        self.flat, self.fc, self.lif2 = nn.Flatten(), nn.Linear(27, 4), nn.Synaptic(0.8, 0.9, reset="zero")

    def forward(self, x: Any) -> Any:
        return self.lif2(self.fc(self.flat(self.lif1(self.pool(self.conv(x))).spk)))._asdict()


class Sequences(nn.Module):
    """A neuron that fires at its threshold, and one number a neuron."""

    inputs: ClassVar = {"x": nn.Input(5)}

    def __init__(self) -> None:
        self.fc, self.lif = nn.Linear(5, 4), nn.spikingjelly.LIFNode()
        self.out = nn.Leaky(np.linspace(0.5, 0.9, 4))

    def forward(self, x: Any) -> Any:
        return {"y": self.out(self.lif(self.fc(x))[0]).mem}


def test_rolled_steps_have_the_gradients_of_the_same_network_of_ours() -> None:
    case = CASES["snn_mlp_unrolled_dynT_ts"]
    ours, theirs = trace(Dense()), trace(snncc.import_onnx(case.path))
    assert set(ours.parameters) == set(theirs.parameters)
    x, weights = case.arrays()[0]["x"].astype(np.float64), theirs.parameters
    found = [_weighted(n, weights, x) for n in (ours, theirs)]
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        assert np.abs(gradient).max() > 0
        np.testing.assert_allclose(found[1][name], gradient, rtol=1e-6, atol=1e-9, err_msg=name)


def _weighted(network: Network, weights: Any, x: np.ndarray) -> dict[str, np.ndarray]:
    """Gradients of the outputs weighted by cotangents."""
    graph = Differentiate("outputs").run(InferTypes("f64").run(network.graph))
    cotangents = {f"d_{o.name}": np.cos(np.arange(len(x) * x.shape[1] * 4)).reshape(*x.shape[:2], 4)
                  for o in network.graph.outputs
                  if o.role == "output" and not o.name.endswith("_out")}  # fmt: skip
    parameters = {name: weights.get(name, own) for name, own in network.parameters.items()}
    call = Call({"x": x, **cotangents}, parameters, {}, len(x), x.shape[1])
    return {name: array for (role, name), array in evaluate(graph, call).items() if role == "gradient"}


def test_rolled_steps_are_no_larger_than_the_same_network_of_ours() -> None:
    ours, theirs = trace(Dense()), trace(snncc.import_onnx(CASES["snn_mlp_unrolled_dynT_ts"].path))
    lengths = [len(generate(n, Target(6)).sources.files["model.c"].splitlines()) for n in (ours, theirs)]
    assert lengths[1] <= 1.1 * lengths[0]


def test_a_rolled_network_trains_as_the_interpreter_says(capsys: pytest.CaptureFixture[str]) -> None:
    path = CASES["snn_mlp_unrolled_dynT_ts"].path
    options = ["--loss", "cross_entropy:mem", "--optimizer", "sgd", "--batch", "4", "--output", "mem_rec=mem",
               "--output", "spk_rec=spk", "--surrogate", "FastSigmoid,slope=10"]  # fmt: skip
    assert main(["check", str(path), *options]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("make", [Dense, Image, Sequences])
def test_a_network_survives_export_and_import(make: Callable[[], Any], tmp_path: Path) -> None:
    network, path = make(), tmp_path / "net.onnx"
    snncc.export_onnx(network, path)
    back = snncc.import_onnx(path)
    ours, theirs = trace(network), trace(back)
    shape = next(iter(ours.inputs.values())).shape
    x = 2 * floats(5, 3, *shape)
    call = Call({"x": x}, ours.parameters, {}, 5, 3, np.float32)
    wanted = evaluate(InferTypes("f32").run(ours.graph), call)
    found = interpreted(back, {"x": x})
    for (role, name), array in wanted.items():
        if role == "output":
            np.testing.assert_array_equal(found[name], array, name)
    if len(shape) == 1:
        pairs = [_weighted(n, ours.parameters, x.astype(np.float64)) for n in (ours, theirs)]
        for name in ("fc1.weight", "fc2.bias") if make is Dense else ("fc.weight", "fc.bias"):
            gradient = pairs[0][name]
            assert np.abs(gradient).max() > 0
            np.testing.assert_allclose(pairs[1][name], gradient, rtol=1e-5, atol=1e-9, err_msg=name)
    spikes = [[str(n.op) for n in t.graph if n.op.name == "spike"] for t in (ours, theirs)]
    assert spikes[1] and set(spikes[1]) <= set(spikes[0])    # what no output needs is not read back


def test_an_exported_file_runs_in_any_runtime(tmp_path: Path) -> None:
    network = Image()
    snncc.export_onnx(network, tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    x, run = floats(4, 2, 2, 6, 6), ReferenceEvaluator(model)
    states = {v.name: np.zeros([2, *(d.dim_value for d in v.type.tensor_type.shape.dim[1:])], np.float32)
              for v in model.graph.input[1:]}  # fmt: skip
    steps = []
    for step in x:
        names = [o.name for o in model.graph.output]
        made = dict(zip(names, run.run(None, {"x": step, **states}), strict=True))
        states = {name: made[f"{name}_out"] for name in states}
        steps.append(made["mem"])
    found = interpreted(snncc.import_onnx(tmp_path / "net.onnx"), {"x": x})
    np.testing.assert_allclose(found["mem"], np.stack(steps), rtol=1e-5, atol=1e-5)


def test_what_onnx_cannot_express_is_refused_by_name(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.PSN(4), input=nn.Input(3))
    with pytest.raises(snncc.CompileError, match="mix_steps is not written to ONNX"):
        snncc.export_onnx(network, tmp_path / "net.onnx")
    with pytest.raises(snncc.CompileError, match="output v_final: is the value of the last step"):
        snncc.export_onnx(snncc.import_onnx(CASES["helper_scan_lif"].path), tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("neuron", "named"), [(nn.LIF(), True), (nn.EIF(), False)])
def test_a_neuron_that_grows_with_its_own_membrane_has_no_name(
    neuron: nn.Neuron, named: bool, tmp_path: Path
) -> None:
    snncc.export_onnx(nn.Sequential(nn.Linear(3, 2), neuron), tmp_path / "net.onnx")
    assert bool(snncc.import_onnx(tmp_path / "net.onnx").report.neurons) == named


def test_a_state_that_was_baked_in_is_remarked() -> None:
    report = snncc.import_onnx(CASES["snn_inithidden_baked_dynamo"].path).report
    assert len(report.remarks) == 1
    assert report.remarks[0].startswith("there are thresholds but no states: was the state baked in")


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ({"v9": "v_out"}, "there is no input 'v9'"),
        ({"v1": "nothing"}, "there is no output 'nothing'"),
        ({"v1": "v2_out"}, "their shapes differ"),
        ({"v1": "v1_out", "v2": "v1_out"}, "their shapes differ|share an output"),
    ],
)
def test_wrong_states_are_refused(states: dict[str, str], message: str) -> None:
    with pytest.raises(snncc.CompileError, match=message):
        snncc.import_onnx(CASES["sj_lif_step_dynamo"].path, states=states)


@pytest.mark.parametrize(
    ("name", "axes", "message"),
    [
        ("snn_leaky_zero_unrolled_dynamo", {"time_axis": 7}, "time_axis=7: inputs have the axes 0 to 2"),
        ("snn_leaky_zero_unrolled_dynamo", {"batch_axis": -1}, "batch_axis=-1: inputs have the axes 0 to 2"),
        ("snn_leaky_zero_unrolled_dynamo", {"time_axis": 1, "batch_axis": 1}, "are both 1"),
        ("snn_record_unrolled_ts", {"time_axis": 1}, "time_axis=1 does not fit; it is found if left out"),
        ("sj_lif_step_dynamo", {"time_axis": 1}, "time_axis=1: the file is one step with states"),
    ],
)
def test_wrong_axes_are_refused(name: str, axes: dict[str, int], message: str) -> None:
    with pytest.raises(snncc.CompileError, match=message):
        snncc.import_onnx(CASES[name].path, **axes)


def test_states_that_are_not_clear_are_an_error(tmp_path: Path) -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 18]>
    step (float[B,3] x, float[B,3] a, float[B,3] b) => (float[B,3] p, float[B,3] q) {
        s = Add(x, a)
        p = Mul(s, b)
        q = Sub(b, a)
    }
    """
    onnx.save(onnx.parser.parse_model(text), tmp_path / "net.onnx")
    with pytest.raises(snncc.CompileError, match="which inputs are states is not clear"):
        snncc.import_onnx(tmp_path / "net.onnx")
    found = snncc.import_onnx(tmp_path / "net.onnx", states={"a": "p", "b": "q"})
    assert set(found.inputs) == {"x"}


OPEN = """
<ir_version: 8, opset_import: ["" : 18]>
net (float[B,3] x) => (float[B,3] y) {{
    n = Shape<start = 0, end = 1>(x)
    f = Cast<to = 1>(n)
    z = ConstantOfShape<value = float[1] {{0.5}}>({shape})
    y = Mul(x, {factor})
}}
"""


def test_arithmetic_with_an_open_dimension_is_refused(tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(OPEN.format(shape="n", factor="f")), tmp_path / "net.onnx")
    with pytest.raises(snncc.CompileError, match="computes with the length of an open dimension"):
        snncc.import_onnx(tmp_path / "net.onnx")
    text = OPEN.format(shape="n", factor="x").replace("[B,3]", "[B,n]")
    onnx.save(onnx.parser.parse_model(text), tmp_path / "net.onnx")
    with pytest.raises(snncc.CompileError, match="axis 1 of the input 'x' is open"):
        snncc.import_onnx(tmp_path / "net.onnx")


@pytest.mark.slow
def test_a_graph_of_10000_nodes_is_compiled_within_a_minute(tmp_path: Path) -> None:
    steps = 1000
    nodes = [helper.make_node("Gather", ["x", f"t{t}"], [f"x{t}"], axis=0) for t in range(steps)]
    for t in range(steps):
        before = "start" if t == 0 else f"v{t - 1}"
        rows = (
            ("Mul", before, "beta", "d"), ("Add", f"d{t}", f"i{t}", "u"), ("Sub", f"u{t}", "one", "o"),
            ("Greater", f"o{t}", "zero", "g"), ("Mul", f"z{t}", "one", "r"),
            ("Sub", f"u{t}", f"r{t}", "v"),
            ("Unsqueeze", f"z{t}", "axis", "y"),
        )    # fmt: skip
        made = [helper.make_node(op, [a, b], [f"{name}{t}"]) for op, a, b, name in rows]
        fired = helper.make_node("Cast", [f"g{t}"], [f"z{t}"], to=1)
        product = helper.make_node("Gemm", [f"x{t}", "W", "b"], [f"i{t}"], transB=1)
        nodes += [product, *made[:4], fired, *made[4:]]
    nodes.append(helper.make_node("Concat", [f"y{t}" for t in range(steps)], ["y"], axis=0))
    held = {"W": floats(4, 3), "b": floats(4), "start": np.zeros((2, 4)), "beta": 0.9, "one": 1, "zero": 0}
    weights = [numpy_helper.from_array(np.asarray(a, np.float32), n) for n, a in held.items()]
    weights += [numpy_helper.from_array(np.array(t), f"t{t}") for t in range(steps)]
    weights.append(numpy_helper.from_array(np.array([0]), "axis"))
    x, y = (helper.make_tensor_value_info(n, 1, [steps, 2, k]) for n, k in (("x", 3), ("y", 4)))
    graph = helper.make_graph(nodes, "long", [x], [y], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "net.onnx")
    start = time.perf_counter()
    compiled = snncc.compile(snncc.import_onnx(tmp_path / "net.onnx"))
    assert time.perf_counter() - start < 60 and len(nodes) > 10_000
    assert compiled(floats(steps, 2, 3)).y.shape == (steps, 2, 4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("snn_mlp_step_ts_dynbatch", "lif1.beta is 0.95 in the network and 0.3 in "),
        ("snn_mlp_step_dynbatch", "lif1.beta is 0.3 in .*, and no number of the network is: .* 0.95, 1;"),
    ],
)
def test_coefficients_of_a_weights_file_are_those_of_the_network(
    name: str, message: str, tmp_path: Path
) -> None:
    network = snncc.import_onnx(CASES[name].path)
    traced = trace(network)
    held = {**traced.parameters, "lif1.beta": np.float32(0.95), "lif2.beta": np.float32(0.95)}
    np.savez(tmp_path / "same.npz", **held, **{"lif1.threshold": np.float32(1)})
    np.savez(tmp_path / "other.npz", **{**held, "lif1.beta": np.float32(0.3)})
    _, same = load_into(network, traced, str(tmp_path / "same.npz"), None)
    assert set(same.ignored) == {"lif1.beta", "lif2.beta", "lif1.threshold"}
    with pytest.raises(snncc.CompileError, match=message):
        load_into(network, traced, str(tmp_path / "other.npz"), None)


def test_a_network_from_onnx_is_refused_by_nir_with_a_way_out(tmp_path: Path) -> None:
    network = snncc.import_onnx(CASES["snn_mlp_step_dynbatch"].path)
    with pytest.raises(snncc.CompileError, match=r"a network from ONNX is arithmetic, .* modules of"):
        snncc.export_nir(network, tmp_path / "net.nir", dt=1e-4)
    assert list(tmp_path.iterdir()) == []


def test_an_exported_network_compiles_again(tmp_path: Path) -> None:
    network = nn.Sequential(fc=nn.Linear(5, 4), lif=nn.Leaky(0.9, threshold=0.3))
    snncc.export_onnx(network, tmp_path / "net.onnx", weights=trace(network).parameters)
    again = snncc.compile(snncc.import_onnx(tmp_path / "net.onnx"), num_steps=3)
    x = floats(3, 2, 5)
    np.testing.assert_array_equal(again(x)["spk"], snncc.compile(network, num_steps=3)(x).spk)


@pytest.mark.parametrize("name", ["snn_leaky_perneuron_step_dynamo", "norse_lif_li_seq_dynamo"])
def test_an_imported_network_is_written_and_read_again(name: str, tmp_path: Path) -> None:
    """Once with the states as outputs of the file, once without."""
    first = snncc.import_onnx(CASES[name].path)
    snncc.export_onnx(first, tmp_path / "net.onnx")
    second = snncc.import_onnx(tmp_path / "net.onnx")
    given, wanted = CASES[name].arrays()
    given = {n: a.transpose(np.argsort(first.layout["input", n])) if ("input", n) in first.layout else a
             for n, a in given.items()}  # fmt: skip
    found = interpreted(second, given)
    assert found.keys() == wanted.keys()
    for output, array in found.items():
        np.testing.assert_allclose(array, wanted[output], rtol=1e-5, atol=1e-5, err_msg=output)


@pytest.mark.parametrize(
    "spike",
    [
        [("Greater", "u", "one", "above"), ("Cast", "above", "spk")],
        [("Greater", "u", "one", "above"), ("Where", "above", "one", "zero", "spk")],
        [("Sub", "u", "one", "over"), ("Sign", "over", "sign"), ("Relu", "sign", "spk")],
        [("Less", "u", "one", "below"), ("Not", "below", "above"), ("Cast", "above", "spk")],
    ],
)
def test_an_input_beside_states_with_names_stays_an_input(spike: list[tuple[str]], tmp_path: Path) -> None:
    """It has the shape of the spikes, and reaches them."""
    nodes = [
        helper.make_node("Mul", ["mem", "beta"], ["kept"]),
        helper.make_node("Add", ["kept", "x"], ["u"]),
        *(helper.make_node(op, values[:-1], values[-1:], **({"to": 1} if op == "Cast" else {}))
          for op, *values in spike),
        helper.make_node("Sub", ["u", "spk"], ["mem_out"]),
    ]  # fmt: skip
    names, kind = ("x", "mem", "spk", "mem_out"), onnx.TensorProto.FLOAT
    ports = {n: helper.make_tensor_value_info(n, kind, [2, 3]) for n in names}
    numbers = {"beta": 0.9, "one": 1, "zero": 0}
    constants = [numpy_helper.from_array(np.asarray(v, np.float32), n) for n, v in numbers.items()]
    given, made = [[ports[n] for n in part] for part in (names[:2], names[2:])]
    graph = helper.make_graph(nodes, "step", given, made, constants)
    path = tmp_path / "step.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    traced = trace(snncc.import_onnx(path))
    assert set(traced.inputs) == {"x"}
    assert [o.name for o in traced.graph.outputs if o.role == "state_out"] == ["mem"]
