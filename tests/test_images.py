"""Convolutions and pooling, compiled: against the interpreter, forward and backward, by every kernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snncc import loss, nn
from tests import test_end_to_end as end_to_end
from tests.networks import Bench, Case, Extent

EXTENTS = (Extent(3, 5), Extent(1, 1), Extent(2, 2, loud=True))


def lif() -> Any:
    return nn.Leaky(beta=0.75, threshold=0.5)


def learnt() -> Any:
    return nn.Leaky(beta=0.75, threshold=0.5, learn_beta=True, learn_threshold=True)


def layers(*shape: int, static: bool = False, **given: Any) -> Callable[[], Any]:
    """A network of layers made anew on images of that shape, with a row of classes at its end."""

    def make() -> Any:
        made = {name: layer() for name, layer in given.items()}
        return nn.Sequential(**made, input=nn.Input(*shape, static=static))

    return make


CASES = {
    "tutorial": layers(
        2, 9, 8, static=True,
        conv1=lambda: nn.Conv2d(2, 6, 3), pool1=lambda: nn.MaxPool2d(2), lif1=lif,
        conv2=lambda: nn.Conv2d(6, 70, 2, padding=1), pool2=lambda: nn.MaxPool2d(2), lif2=lif,
        flat=nn.Flatten, fc=lambda: nn.Linear(280, 3), lif3=lif,
    ),
    "strided": layers(
        3, 9, 7,
        conv1=lambda: nn.Conv2d(3, 16, 3, stride=2, padding=2, dilation=2), lif1=lif,
        conv2=lambda: nn.Conv2d(16, 5, (3, 2), stride=(1, 2), bias=False), lif2=lif,
        pool=lambda: nn.AvgPool2d(2, 1), flat=nn.Flatten, fc=lambda: nn.Linear(10, 3), lif3=lif,
    ),
    "groups": layers(
        4, 6, 5,
        conv1=lambda: nn.Conv2d(4, 8, 3, groups=2, padding=1), lif1=lif,
        deep=lambda: nn.Conv2d(8, 8, 3, groups=8, stride=2), lif2=lif,
        one=lambda: nn.Conv2d(8, 1, 1), lif3=lif,
        flat=nn.Flatten, fc=lambda: nn.Linear(4, 3), lif4=lif,
    ),
    "slices": layers(
        4, 6, 5,
        conv1=lambda: nn.Conv2d(4, 68, 3, groups=2, padding=1), lif1=lif,
        conv2=lambda: nn.Conv2d(68, 140, 2, groups=2, stride=2, padding=1), lif2=lif,
        up=lambda: nn.ConvTranspose2d(140, 2, 2, groups=2), lif3=lif,
        flat=nn.Flatten, fc=lambda: nn.Linear(40, 3), lif4=lif,
    ),
    "line": layers(
        3, 20,
        conv1=lambda: nn.Conv1d(3, 20, 4, stride=2), lif1=lif, pool=lambda: nn.MaxPool1d(3, 2), lif2=learnt,
        flat=nn.Flatten, fc=lambda: nn.Linear(80, 3), lif3=lif,
    ),
    "volume": layers(
        2, 3, 4, 5,
        conv1=lambda: nn.Conv3d(2, 4, 2, padding=1), lif1=lif, pool=lambda: nn.MaxPool3d(2), lif2=lif,
        flat=nn.Flatten, fc=lambda: nn.Linear(48, 3), lif3=lif,
    ),
    "up": layers(
        4, 3, 4,
        up=lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1), lif1=lif,
        more=lambda: nn.Upsample(scale_factor=1.5), conv=lambda: nn.Conv2d(6, 3, 3), lif2=lif,
        down=lambda: nn.AdaptiveAvgPool2d((2, 3)), flat=nn.Flatten, fc=lambda: nn.Linear(18, 3), lif3=lif,
    ),
    "turned": layers(
        2, 4, 4,
        lif0=lif, up=lambda: nn.ConvTranspose2d(2, 4, 2, groups=2), lif1=lif, sums=lambda: nn.SumPool2d(2),
        bilinear=lambda: nn.Upsample(size=(5, 4), mode="bilinear"), lif2=lif,
        flat=nn.Flatten, lif3=lif, fc=lambda: nn.Linear(80, 3), lif4=lif,
    ),
}  # fmt: skip


@pytest.mark.parametrize("products", ["auto", "dense", "events"])
@pytest.mark.parametrize("name", CASES)
def test_compiled_images_agree_with_the_interpreter(name: str, products: str, tmp_path: Path) -> None:
    dtype = "float32" if products == "events" else "float64"
    bench = Bench(Case(CASES[name], loss.cross_entropy("mem")), dtype, tmp_path / "model", products=products)
    for extent in EXTENTS:
        problems = [p for check in end_to_end.CHECKS for p in check(bench, "custom", extent)]
        assert not problems, (extent, problems)
