"""The fidelity report of imports, and names from files of others."""

from __future__ import annotations

import pytest

from snncc.errors import CompileError
from snncc.frontend.foreign import plain_names, shown
from snncc.frontend.report import Finding, Report

FINDINGS = (
    Finding("fc", "Affine"),
    Finding("lif", "LIF", became="nn.nir.LIF"),
    Finding("late", "Delay", "approximate", "0.25 ms is half a step and was rounded to 0", "nn.Delay"),
)


def test_a_report_counts_verdicts_and_shows_every_node() -> None:
    text = str(Report("net.nir", "NIR 1.0.8", FINDINGS, {"dt": "0.001"}, ("tau is far below dt",)))
    assert text.splitlines() == [
        "net.nir: NIR 1.0.8: 2 exact, 1 approximate",
        "  dt = 0.001",
        "  fc    Affine              exact",
        "  lif   LIF     nn.nir.LIF  exact",
        "  late  Delay   nn.Delay    approximate: 0.25 ms is half a step and was rounded to 0",
        "  remark: tau is far below dt",
    ]


def test_nodes_that_are_alike_share_a_line_where_there_are_many() -> None:
    many = [Finding(f"n{k}", "Add", became="add") for k in range(100)]
    report = Report("a.onnx", "ONNX", (*many[:50], *FINDINGS, *many[50:]), neurons={"mem": "Leaky(beta=0.9)"})
    lines = str(report).splitlines()
    assert lines[0] == "a.onnx: ONNX: 102 exact, 1 approximate"
    assert lines[1] == "  100: n0 to n99  Add     add         exact"
    assert [line.split()[0] for line in lines[2:5]] == ["fc", "lif", "late"]
    assert lines[-1] == "  state mem: Leaky(beta=0.9)"


def test_what_is_unsupported_is_an_error_that_names_every_node() -> None:
    report = Report("a.onnx", "ONNX", FINDINGS)
    assert report.check() is report
    wrong = tuple(Finding(f"n{i}", "Oops", "unsupported", "needs sorting") for i in range(10))
    with pytest.raises(CompileError) as caught:
        Report("a.onnx", "ONNX", (*FINDINGS, *wrong)).check()
    assert str(caught.value).startswith("a.onnx: cannot be imported exactly: n0 (Oops): needs sorting; n1 ")
    assert str(caught.value).endswith("n7 (Oops): needs sorting; and 2 more")


def test_foreign_text_is_one_line_without_signs_that_cannot_be_seen() -> None:
    assert shown("a\nb\x1b[31m\u202ec") == r"a\nb\x1b[31m\u202ec"
    assert shown("x" * 100) == "x" * 77 + "..."
    assert shown("Schicht_ä") == "Schicht_ä"


def test_foreign_names_become_plain_and_stay_apart() -> None:
    names = ["lif1.w_rec", "0", "c g", "c_g", "*/ system(1)", "", "..", "a..b", "in"]
    found = plain_names(names, taken=("in",))
    assert found == {
        "lif1.w_rec": "lif1.w_rec",
        "0": "0",
        "c g": "c_g",
        "c_g": "c_g_2",
        "*/ system(1)": "_system_1_",
        "": "node",
        "..": "node_2",
        "a..b": "a.b",
        "in": "in_2",
    }
