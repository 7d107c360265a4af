"""Writes images.npz: PyTorch's convolutions, pooling and resampling, outputs and gradients.

`layers` is a JSON text: for each name the class, the shape of its input and its arguments, as of ours.
x is [T, B, *shape], d_out the cotangent of out; gradients are those of sum(out * d_out). Numbers that go in
are multiples of 1/16, many of them zero, and every array is stored in the narrowest floats that hold it.

    python tests/golden/layers/make_images.py        # needs torch
"""

import json
from pathlib import Path

import numpy as np
import torch

STEPS, BATCH = 1, 2


class SumPool2d(torch.nn.AvgPool2d):
    def __init__(self, *given, **named):
        super().__init__(*given, **named, divisor_override=1)


class SumPool3d(torch.nn.AvgPool3d):
    def __init__(self, *given, **named):
        super().__init__(*given, **named, divisor_override=1)


class SumPool1d(torch.nn.AvgPool1d):
    def forward(self, x):
        return super().forward(x) * self.kernel_size[0]


def conv(kind, shape, outputs, size, **more):
    return kind, shape, {"in_channels": shape[0], "out_channels": outputs, "kernel_size": size, **more}


def over(kind, shape, **given):
    return kind, shape, given


LAYERS = {
    "conv": conv("Conv2d", (3, 5, 6), 4, 3),
    "conv_strided": conv("Conv2d", (2, 7, 6), 3, 3, stride=2, padding=1),
    "conv_uneven": conv("Conv2d", (2, 6, 7), 3, (3, 2), stride=(1, 2), padding=(2, 0), dilation=(2, 1)),
    "conv_even": conv("Conv2d", (2, 5, 5), 3, 4, padding=2, bias=False),
    "conv_same": conv("Conv2d", (2, 4, 5), 3, (4, 3), padding="same", dilation=(1, 2)),
    "conv_groups": conv("Conv2d", (4, 5, 4), 6, 3, groups=2, padding=1),
    "conv_depthwise": conv("Conv2d", (4, 5, 5), 8, 3, groups=4, stride=2, bias=False),
    "conv_point": conv("Conv2d", (5, 3, 4), 7, 1),
    "conv1d": conv("Conv1d", (3, 11), 4, 4, stride=2, padding=1),
    "conv1d_same": conv("Conv1d", (2, 9), 2, 3, padding="same", dilation=2, groups=2),
    "conv3d": conv("Conv3d", (2, 3, 4, 5), 3, 2, padding=1, stride=(1, 2, 1)),
    "turned": conv("ConvTranspose2d", (3, 4, 3), 4, 3),
    "turned_strided": conv("ConvTranspose2d", (2, 3, 4), 3, 3, stride=2, padding=1, output_padding=1),
    "turned_groups": conv("ConvTranspose2d", (4, 3, 3), 6, (2, 3), stride=2, groups=2, bias=False),
    "turned_dilated": conv("ConvTranspose2d", (2, 3, 4), 2, 3, dilation=2, stride=(1, 3), output_padding=1),
    "turned1d": conv("ConvTranspose1d", (2, 6), 3, 4, stride=3, padding=1, output_padding=2),
    "max": over("MaxPool2d", (2, 6, 5), kernel_size=2),
    "max_padded": over("MaxPool2d", (2, 7, 6), kernel_size=3, stride=2, padding=1, ceil_mode=True),
    "max_dilated": over("MaxPool2d", (2, 7, 6), kernel_size=2, stride=1, dilation=(2, 3)),
    "max1d": over("MaxPool1d", (2, 10), kernel_size=4, stride=3, padding=2, ceil_mode=True),
    "max3d": over("MaxPool3d", (2, 4, 4, 5), kernel_size=2),
    "avg": over("AvgPool2d", (2, 5, 6), kernel_size=(2, 3), stride=1),
    "avg_padded": over("AvgPool2d", (2, 6, 7), kernel_size=3, stride=2, padding=1, ceil_mode=True),
    "avg_inside": over(
        "AvgPool2d", (2, 6, 7), kernel_size=3, stride=2, padding=1, ceil_mode=True, count_include_pad=False
    ),
    "avg1d": over("AvgPool1d", (3, 10), kernel_size=3, stride=2),
    "avg3d": over("AvgPool3d", (2, 3, 4, 5), kernel_size=2, padding=1),
    "sum": over("SumPool2d", (2, 6, 5), kernel_size=3, stride=2, padding=1),
    "sum1d": over("SumPool1d", (2, 9), kernel_size=3, padding=1),
    "sum3d": over("SumPool3d", (2, 3, 4, 5), kernel_size=2, stride=(1, 2, 1)),
    "adaptive": over("AdaptiveAvgPool2d", (3, 4, 6), output_size=(2, 3)),
    "adaptive_uneven": over("AdaptiveAvgPool2d", (2, 5, 7), output_size=(3, 4)),
    "adaptive_more": over("AdaptiveAvgPool2d", (2, 3, 4), output_size=(None, 6)),
    "adaptive1d": over("AdaptiveAvgPool1d", (2, 7), output_size=3),
    "adaptive3d": over("AdaptiveAvgPool3d", (2, 4, 3, 2), output_size=(2, 3, 1)),
    "adaptive3d_uneven": over("AdaptiveAvgPool3d", (2, 5, 3, 4), output_size=(2, 2, None)),
    "nearest": over("Upsample", (2, 3, 4), scale_factor=2),
    "nearest_part": over("Upsample", (2, 4, 5), scale_factor=1.5),
    "nearest_size": over("Upsample", (2, 3, 5), size=(7, 4)),
    "nearest_rounded": over("Upsample", (1, 26, 2), size=(22, 3)),    # 11 * (26 / 22) in float32
    "nearest1d": over("Upsample", (3, 5), size=8),
    "bilinear": over("Upsample", (2, 3, 4), scale_factor=2, mode="bilinear"),
    "bilinear_part": over("Upsample", (2, 4, 3), scale_factor=(1.5, 2.5), mode="bilinear"),
    "bilinear_size": over("Upsample", (2, 5, 4), size=(3, 7), mode="bilinear"),
    "bilinear_corners": over("Upsample", (2, 3, 4), size=(5, 3), mode="bilinear", align_corners=True),
}


def sixteenths(rng, shape, density=1.0):
    return torch.tensor(rng.integers(-24, 25, shape) * (rng.random(shape) < density) / 16.0)


def narrow(array):
    found = [array.astype(kind) for kind in (np.float16, np.float32, np.float64)]
    return next(a for a in found if np.array_equal(a.astype(np.float64), array))


def main() -> None:
    rng = np.random.default_rng(0)
    arrays = {}
    for name, (kind, shape, given) in LAYERS.items():
        layer = globals().get(kind) or getattr(torch.nn, kind)
        layer = layer(**given).double()
        for value in layer.parameters():
            value.data = sixteenths(rng, value.shape)
        x = sixteenths(rng, (STEPS, BATCH, *shape), 0.5).requires_grad_()
        out = layer(x.flatten(0, 1)).unflatten(0, (STEPS, BATCH))
        d_out = sixteenths(rng, out.shape, 0.7)
        (out * d_out).sum().backward()
        found = {"x": x, "out": out, "d_out": d_out, "d_x": x.grad}
        for key, value in layer.named_parameters():
            found |= {key: value, f"d_{key}": value.grad}
        arrays |= {f"{name}.{key}": narrow(value.detach().numpy()) for key, value in found.items()}
    path = Path(__file__).with_name("images.npz")
    np.savez_compressed(path, layers=json.dumps(LAYERS), **arrays)


if __name__ == "__main__":
    main()
