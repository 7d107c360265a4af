"""Malformed and hostile ONNX files: one clear error, nothing written, no name ever code."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import snncc
from snncc.cli import main
from tests.onnx_cases import FOLDER

BAD = FOLDER / "bad"
CASES = {row["case"]: row for row in json.loads((BAD / "cases.json").read_text())}
# What each refusal says: the node or tensor, and the reason.
SAID = {
    "truncated": "is not an ONNX file, or it is cut off or damaged",
    "not_onnx": "is not an ONNX file",
    "zero_bytes": "is empty",
    "empty_graph": "the graph has no outputs",
    "wrong_dtype_bias": "node n_gemm (Gemm): its inputs 'x' float32[2, 4] and 'b' int64[3] must be of",
    "int64_weight": "node n_gemm (Gemm): its inputs 'x' float32[2, 4] and 'W' int64[4, 3] must be of",
    "cycle": "node n_mul (Mul) reads 'v_out', which only this node or a later one makes: the graph",
    "missing_initializer": "node n_gemm (Gemm) reads 'W', which no input, initialiser or node makes",
    "huge_dims": "tensor 'W' of shape [1099511627776, 1048576]",
    "negative_dims": "tensor 'W' has a negative dimension",
    "unknown_op": "node n_gt (SpikeMagic): operator set 17 of ONNX has no operator SpikeMagic, and the file",
    "external_data_traversal": "its external data '../../../../../../etc/passwd' leaves the model's folder",
    "duplicate_output": "tensor 'u' is written twice: by node n_add (Add) and by node n_sub (Sub)",
    "mismatched_shapes": "node n_gemm (Gemm): multiplies 'x' float32[2, 5] by 'W' float32[4, 3]: expected",
    "opset_999": "operator set 999 is newer than the newest",
    "opset_3": "operator set 3 is older than the oldest",
    "no_opset": "the model names no operator set",
    "loop_body_without_cond": "node time (Loop): its body must have 2 outputs with the condition to go on as",
}

PAYLOADS = ('system("', "os.system('", "</etc/", "abort();}", "{{7", "`id", "$(id", "$HOME", "\u202e")


def test_every_file_has_a_test() -> None:
    assert set(SAID) == {n for n, row in CASES.items() if row["verdict"] == "refuse"}


@pytest.mark.parametrize("name", list(SAID))
def test_a_bad_file_is_one_error_and_no_folder(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compile", str(BAD / f"{name}.onnx"), "-o", str(tmp_path / "m")]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"snncc: {BAD / name}.onnx: ") and message.count("\n") == 1
    assert SAID[name] in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [n for n, row in CASES.items() if row["verdict"] == "accept"])
def test_names_that_carry_code_are_names(name: str, tmp_path: Path) -> None:
    network = snncc.import_onnx(BAD / f"{name}.onnx")
    model = snncc.compile(network, out=tmp_path / "m")
    text = (tmp_path / "m" / "model.c").read_text()
    assert not any(word in text for word in PAYLOADS)
    with np.load(BAD / f"{name}.io.npz") as stored:
        state, (spikes, membrane) = model.state_names[0], model.output_names
        out = model(stored["x"], state={state: stored["v0"]})
        np.testing.assert_array_equal(out[spikes], stored["z"])
        np.testing.assert_allclose(out[membrane], stored["v_out"], rtol=1e-5, atol=1e-5)


def test_weights_that_are_not_finite_are_refused() -> None:
    with pytest.raises(snncc.CompileError, match="'W' has NaN or infinity in it; weights must be finite"):
        snncc.import_onnx(BAD / "nan_inf_weights.onnx")


def _retyped(node: Any, op: str, inputs: int) -> None:
    node.op_type = op
    del node.input[inputs:]


def _with(node: Any, name: str) -> None:
    node.attribute.append(onnx.helper.make_attribute(name, 1))


WRONG: list[tuple[str, Callable[[Any], Any], str]] = [
    ("n_mul", lambda node: _retyped(node, "Mul", 1), "node n_mul (Mul): expected 2 inputs, found 1"),
    ("n_mul", lambda node: node.input.__setitem__(0, ""), "node n_mul (Mul): its input 1 is missing"),
    ("n_cast", lambda node: node.ClearField("attribute"), "n_cast (Cast): its attribute 'to' is missing"),
    ("n_gemm", lambda node: _with(node, "odd"), "its attribute 'odd' is none of this operator"),
    ("n_gemm", lambda node: _with(node, "alpha"), "'alpha' is of type INT, expected FLOAT"),
    ("n_mul", lambda node: _retyped(node, "And", 2), "its input 'v' float32[2, 3] must be of type bool"),
    ("n_mul", lambda node: _retyped(node, "NonZero", 1), "'dec' int64[2, "),
    ("n_mul", lambda node: _retyped(node, "ReduceSum", 2), "(ReduceSum): its input 'beta' float32[]"),
]


@pytest.mark.parametrize(("name", "damage", "message"), WRONG, ids=[row[2] for row in WRONG])
def test_what_is_wrong_is_said_in_our_words(
    name: str, damage: Callable[[Any], Any], message: str, tmp_path: Path
) -> None:
    model = onnx.load(BAD / "good_baseline.onnx")
    damage(next(node for node in model.graph.node if node.name == name))
    onnx.save(model, tmp_path / "bad.onnx")
    with pytest.raises(snncc.CompileError) as caught:
        snncc.import_onnx(tmp_path / "bad.onnx")
    assert message in str(caught.value)


def test_an_operator_that_is_not_supported_says_what_it_would_need(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 18]>
    g (float[2,3] x) => (float[2,3] y) { q = Erf(x) y = Einsum<equation = "ij->ij">(q) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "a.onnx")
    with pytest.raises(snncc.CompileError, match=r"\(Erf\): would need .*\(Einsum\): write it as Transpose"):
        snncc.import_onnx(tmp_path / "a.onnx")


LENGTH = "b = Mul(a, a) c = ConstantOfShape<value = int64[1] {0}>(b)"
GROWING = {
    "a constant of shape [25000000] cannot be made": f"a = Constant<value_ints = [5000]>() {LENGTH} "
    "d = Concat<axis = 0>(c, c)",
    "constants that are computed take 268,435,456 bytes more than": f"a = Constant<value_ints = [2000]>() "
    f"{LENGTH} " + " ".join(f"d{k} = ConstantOfShape(b)" for k in range(20)),
}


@pytest.mark.parametrize("message", GROWING)
def test_a_small_file_does_not_take_gigabytes(message: str, tmp_path: Path) -> None:
    """Constants have bounds, one by one and together, and nothing counts them out in objects before."""
    head = '<ir_version: 8, opset_import: ["" : 18]>'
    text = f"{head} g (float[2,3] x) => (float[2,3] y) {{ {GROWING[message]} y = Relu(x) }}"
    onnx.save(onnx.parser.parse_model(text), tmp_path / "a.onnx")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(snncc.CompileError) as caught:
        snncc.import_onnx(tmp_path / "a.onnx")
    assert message in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600 << 10  # KiB


def test_external_data_of_another_length_says_what_was_expected(tmp_path: Path) -> None:
    model = onnx.load(BAD / "good_baseline.onnx")
    onnx.save(model, tmp_path / "a.onnx", save_as_external_data=True, location="a.bin", size_threshold=16)
    (tmp_path / "a.bin").write_bytes(b"")
    wanted = "'W' of 48 bytes: .* 'a.bin' must have these from byte 0 on; found a file of 0 bytes"
    with pytest.raises(snncc.CompileError, match=wanted):
        snncc.import_onnx(tmp_path / "a.onnx")
