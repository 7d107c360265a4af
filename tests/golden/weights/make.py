"""Makes the files beside it, by hand, with torch 2 and snnTorch 1: python tests/golden/weights/make.py"""

from pathlib import Path

import numpy as np
import snntorch as snn
import torch

HERE = Path(__file__).parent


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1 = torch.nn.Linear(4, 3), snn.Leaky(0.9)
        self.fc2, self.lif2 = torch.nn.Linear(3, 2), snn.Leaky(0.8, learn_beta=True)


torch.manual_seed(0)
net = Net()
torch.save(net.state_dict(), HERE / "snntorch.pt")
optimizer = torch.optim.Adam(net.parameters())
checkpoint = {
    "epoch": 3,
    "best": np.float64(0.5),
    "device": torch.device("cpu"),
    "optimizer": optimizer.state_dict(),
    "model_state_dict": torch.nn.DataParallel(net).state_dict(),
}
torch.save(checkpoint, HERE / "checkpoint.pt")
torch.save(torch.compile(net).state_dict(), HERE / "compiled.pt")
torch.save(torch.nn.Linear(2, 2), HERE / "whole_module.pt")
torch.save(net.fc1.state_dict(), HERE / "legacy.pt", _use_new_zipfile_serialization=False)
kinds = {
    "transposed": torch.arange(12.0).reshape(3, 4).T,
    "slice": torch.arange(10)[3:7],
    "half": torch.tensor([0.5, -2.0]).half(),
    "bfloat": torch.tensor([1.5, -3.0]).bfloat16(),
    "bool": torch.tensor([True, False]),
    "scalar": torch.tensor(7.0, dtype=torch.float64),
    "expanded": torch.tensor([2.0]).expand(3),
    "parameter": torch.nn.Parameter(torch.ones(2)),
}
torch.save(kinds, HERE / "kinds.pt")
arrays = {name: value.detach().float().numpy() for name, value in kinds.items()}
np.savez(HERE / "kinds.npz", **arrays)
