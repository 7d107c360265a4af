"""Convolutions, pooling and resampling: PyTorch's numbers in C and on CUDA, and what they refuse."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import CompileError, nn
from tests.cuda_pairs import BACKENDS
from tests.networks import difference
from tests.vector_runs import BOUND, model_of

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "layers" / "images.npz"))
LAYERS: dict[str, tuple[str, list[int], dict[str, Any]]] = json.loads(str(GOLDEN.pop("layers")))


class Every(nn.Module):
    """All layers side by side, each with an input and an output of its own."""

    def __init__(self) -> None:
        self.inputs = {f"x_{name}": nn.Input(*shape) for name, (_, shape, _) in LAYERS.items()}
        self.layers = {name: getattr(nn, kind)(**given) for name, (kind, _, given) in LAYERS.items()}

    def forward(self, *images: Any) -> dict[str, Any]:
        pairs = zip(self.layers.items(), images, strict=True)
        return {name: layer(image) for (name, layer), image in pairs}


@pytest.mark.parametrize(("dtype", "products"), [("float32", "events"), ("float64", "auto")])
@pytest.mark.parametrize("way", BACKENDS)
def test_layers_have_pytorchs_numbers(way: str, dtype: str, products: str) -> None:
    options = {"products": products} if way == "c" else {}
    model = model_of(Every(), way, num_steps=1, dtype=dtype, **options)
    weights = {f"layers.{name}.{key}": f"{name}.{key}" for name in LAYERS for key in ("weight", "bias")}
    model.params.update({ours: GOLDEN[theirs] for ours, theirs in weights.items() if theirs in GOLDEN})
    inputs = {f"x_{name}": GOLDEN[f"{name}.x"] for name in LAYERS}
    out = model(inputs)
    found = {f"{name}.out": out[name] for name in LAYERS}
    gradients = model.backward(inputs, cotangents={name: GOLDEN[f"{name}.d_out"] for name in LAYERS})
    found |= {f"{name[2:]}.d_x": array for name, array in gradients.inputs.items()}
    for ours, array in gradients.params.items():
        name, key = weights[ours].split(".")
        found[f"{name}.d_{key}"] = array
    wanted = {key for key in GOLDEN if key.endswith(".out") or (".d_" in key and "d_out" not in key)}
    assert found.keys() == wanted
    apart = {key: difference(array, GOLDEN[key]) for key, array in found.items()}
    assert {key: by for key, by in apart.items() if not by <= BOUND[dtype]} == {}


@pytest.mark.optimised    # gcc 12 read other lanes where it loads under a mask
def test_the_largest_of_each_window_alone_has_a_gradient() -> None:
    model = snncc.compile(nn.Sequential(nn.MaxPool1d(2), input=nn.Input(5, 9)), num_steps=2, dtype="float64")
    random = np.random.default_rng(0)
    x, d_y = random.normal(size=(2, 3, 5, 9)), random.normal(size=(2, 3, 5, 4))
    expected = np.zeros(x.shape)
    largest = x[..., :8].reshape(2, 3, 5, 4, 2).argmax(-1)
    np.put_along_axis(expected, 2 * np.arange(4) + largest, d_y, -1)
    (found,) = model.backward(x, cotangents={model.output_names[0]: d_y}).inputs.values()
    np.testing.assert_array_equal(found, expected)


def on(layer: Callable[[], nn.Module], *shape: int) -> Callable[[], Any]:
    """The network of a layer on images of that shape."""

    def compiled() -> Any:
        return snncc.compile(nn.Sequential(layer(), input=nn.Input(*shape)), num_steps=2)

    return compiled


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nn.Conv2d(0, 4, 3), "Conv2d: in_channels must be a positive integer, got 0"),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "groups must divide both channels, got 2 for 3 and 4"),
        (lambda: nn.Conv2d(3, 4, 0), "kernel_size must be a whole number from 1, or 2 of them, got 0"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), r"kernel_size must be .* got \(3, 3, 3\)"),
        (lambda: nn.Conv1d(3, 4, 2.5), "Conv1d: kernel_size must be an integer .* got 2.5"),    # type: ignore[arg-type]
        (lambda: nn.Conv2d(3, 4, 3, stride=True), "stride must be an integer or"),
        (lambda: nn.Conv2d(3, 4, 3, padding=-1), "padding must be a whole number from 0, .* got -1"),
        (lambda: nn.Conv2d(3, 4, 3, padding="full"), "must be numbers, 'same' or 'valid', got 'full'"),
        (lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"), r"'same' needs stride 1, got \(2, 2\)"),
        (on(lambda: nn.Conv2d(3, 4, 3), 2, 5, 5), r"images \[3, height, width\], .* \[2, 5, 5\]"),
        (on(lambda: nn.Conv2d(3, 4, 3), 3, 25), r"takes images \[3, height, width\], .* \[3, 25\]"),
        (on(lambda: nn.Conv1d(3, 4, 3), 75), r"takes images \[3, length\], its input has shape \[75\]"),
        (on(lambda: nn.Conv2d(3, 4, 6), 3, 5, 7), r"of \[6, 6\] pixels do not fit an image of \[5, 7\]"),
        (on(lambda: nn.Conv2d(3, 4, 3, dilation=4, padding=1), 3, 5, 7), r"\[9, 9\] .* with its padding"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, output_padding=1), "must be below stride or dilation, got 1"),
        (on(lambda: nn.ConvTranspose2d(3, 4, 3), 2, 5, 5), r"expected images \[3, height, width\]"),
        (on(lambda: nn.ConvTranspose2d(3, 4, 3, padding=4), 3, 2, 2), r"leaves nothing of .*\[2, 2\]"),
        (lambda: nn.MaxPool2d(3, padding=2), "MaxPool2d: padding must be at most half of kernel_size, got 2"),
        (lambda: nn.MaxPool2d(2, return_indices=True), "return_indices=True is not supported; leave it out"),
        (lambda: nn.AvgPool2d(2, stride=0), "stride must be a whole number from 1, or 2 of them, got 0"),
        (on(lambda: nn.AvgPool2d(2), 12), r"expected \[channels, 2 axes of space\], the input has \[12\]"),
        (on(lambda: nn.MaxPool2d(4), 3, 3, 5), r"windows of \[4, 4\] pixels do not fit an image of \[3, 5\]"),
        (lambda: nn.AdaptiveAvgPool2d((2, 0)), r"output_size must be .* got \(2, 0\)"),
        (on(lambda: nn.AdaptiveAvgPool2d(2), 12), r"expected \[channels, 2 axes of space\]"),
        (nn.Upsample, "Upsample: give either size or scale_factor"),
        (lambda: nn.Upsample(size=4, scale_factor=2), "give either size or scale_factor"),
        (lambda: nn.Upsample(size=4, mode="cubic"), "mode must be 'nearest' or 'bilinear', got 'cubic'"),
        (lambda: nn.Upsample(size=4, align_corners=True), "align_corners=True is for mode='bilinear'"),
        (on(lambda: nn.Upsample(scale_factor=-2), 2, 3, 3), "scale_factor must be positive, got -2.0"),
        (on(lambda: nn.Upsample(scale_factor=0.2), 2, 3, 3), r"leaves nothing of an image of \[3, 3\]"),
        (on(lambda: nn.Upsample(scale_factor=(2, 2, 2)), 2, 3, 3), r"scale_factor .* got \(2.0, 2.0, 2.0\)"),
        (on(lambda: nn.Upsample(size=(2, 2, 2)), 2, 3, 3), r"size must be .* got \(2, 2, 2\)"),
        (on(lambda: nn.Upsample(size=4, mode="bilinear"), 2, 9), r"expected images .* shape \[2, 9\]"),
    ],
)    # fmt: skip
def test_what_makes_no_sense_names_its_line(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(CompileError, match=message) as refused:
        build()
    assert re.search(r"\(test_layers_images.py:\d+\)$", str(refused.value)), refused.value
