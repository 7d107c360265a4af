"""Writes those cases here that PyTorch and snnTorch alone make: python make_torch.py (run by hand).

Lists and writes of single steps, winner-take-all inhibition, recurrent layers, and what enlarges images.
Needs torch 2.13, snntorch 1.0 and onnxscript.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import snntorch as snn
import torch
from torch import nn

HERE = Path(__file__).parent
STEPS, BATCH = 5, 3
WHOLE = ("spk", "spk_rec", "label")  # outputs that must be equal


class Record(nn.Module):
    """Writes each step's spikes into an array."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(12, 6), snn.Leaky(beta=0.9)

    def forward(self, x: Any) -> Any:
        mem, record = torch.zeros(x.shape[1], 6), torch.zeros(STEPS, x.shape[1], 6)
        for t in range(STEPS):
            spk, mem = self.lif(self.fc(x[t]), mem)
            record[t] = spk
        return record


class Script(nn.Module):
    """A scripted loop that collects spikes in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        v = torch.zeros(x.shape[1], 6)
        out: list[torch.Tensor] = []
        for t in range(x.shape[0]):
            v = 0.9 * v + self.fc(x[t])
            z = (v > 1.0).to(v.dtype)
            v = v - z
            out.append(z)
        return torch.stack(out)


class Inhibited(nn.Module):
    """One step in which the strongest neuron alone may fire."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(12, 6), snn.Leaky(beta=0.9, inhibition=True)

    def forward(self, x: Any, mem: Any) -> Any:
        return self.lif(self.fc(x), mem)


class Larger(nn.Module):
    """One step on images that a transposed convolution, pads and an upsampling enlarge."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=1)
        ends = nn.ZeroPad2d((1, 0, 1, 0)), nn.ReflectionPad2d(1)
        self.ends = nn.Sequential(*ends, nn.Upsample(scale_factor=2))
        self.lif = snn.Leaky(beta=0.9)

    def forward(self, x: Any, mem: Any) -> Any:
        return self.lif(self.ends(self.up(x)), mem)


class Recurrent(nn.Module):
    """Spikes through a recurrent layer of PyTorch's, and the class that is the largest."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.fc, self.layer, self.out = nn.Linear(12, 6), kind(6, 5), nn.Linear(5, 3)

    def forward(self, x: Any) -> Any:
        y, _ = self.layer((self.fc(x) > 0.2).float())
        return self.out(y), self.out(y).argmax(-1)


def write(name: str, module: Any, x: Any, outputs: list[str], state: Any = None) -> dict[str, Any]:
    """The file, and what PyTorch computes, step by step if there is a state. The row of cases.json."""
    kind = "sequence" if state is None else "step"
    names = ["x"] if state is None else ["x", "mem"]
    dynamo = name.endswith("dynamo")
    given = (x,) if state is None else (x[0], state)
    script = torch.jit.script(module) if isinstance(module, Script) else module
    torch.onnx.export(script, given, str(HERE / f"{name}.onnx"), dynamo=dynamo, external_data=False,
                      input_names=names, output_names=outputs)  # fmt: skip
    arrays = {"in/x": x.numpy()}
    with torch.no_grad():
        if state is None:
            made = module(x)
            results = made if isinstance(made, tuple) else (made,)
        else:
            rows, mem = [], state
            for one in x:
                spk, mem = module(one, mem)
                rows.append((spk, mem))
            results = tuple(torch.stack(row) for row in zip(*rows, strict=True))
            arrays["in/mem"] = state.numpy()
    arrays |= {f"out/{n}": r.numpy() for n, r in zip(outputs, results, strict=True)}
    np.savez_compressed(HERE / f"{name}.npz", **arrays)
    states = {} if state is None else {"mem": "mem_out"}
    equal = [n for n in outputs if n in WHOLE]
    return {"case": name, "kind": kind, "T": STEPS, "states": states, "spikes": equal}


def main() -> None:
    torch.manual_seed(0)
    x, image = 2 * torch.rand(STEPS, BATCH, 12), torch.rand(STEPS, BATCH, 2, 4, 4)
    step = ["spk", "mem_out"]
    rows = [
        write("snn_record_unrolled_ts", Record(), x, ["spk_rec"]),
        write("snn_record_unrolled_dynamo", Record(), x, ["spk_rec"]),
        write("jit_script_list_ts", Script(), x, ["spk_rec"]),
        write("snn_inhibition_step_ts", Inhibited(), x, step, torch.zeros(BATCH, 6)),
        write("snn_larger_step_ts", Larger(), image, step, torch.zeros(BATCH, 3, 22, 22)),
        write("torch_lstm_ts", Recurrent(nn.LSTM), x, ["y", "label"]),
        write("torch_gru_dynamo", Recurrent(nn.GRU), x, ["y", "label"]),
    ]
    known = json.loads((HERE / "cases.json").read_text())
    kept = [row for row in known if row["case"] not in {r["case"] for r in rows}]
    (HERE / "cases.json").write_text(json.dumps([*kept, *rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
