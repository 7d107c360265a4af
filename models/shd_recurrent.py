"""Spoken digits with a recurrent spiking network: 700 channels, 256 neurons connected all to all, 20 classes.

A network of the kind that the Spiking Heidelberg Digits were published with (Cramer et al. 2020); the data
are made up like them (heidelberg.py), with words of different lengths in one batch. The loss is the
cross-entropy of the read-out's membrane, averaged over the steps of each word.

    python models/shd_recurrent.py                      # 2,000 words to learn from, 500 held out, 20 epochs
    snncc compile models/shd_recurrent.py:net -o build/shd --num-steps 100 --lengths \\
        --loss cross_entropy:mem_mean --optimizer adam
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import snncc
from heidelberg import CHANNELS, CLASSES, words
from snncc import loss, nn, optim

HIDDEN = 256

net = nn.Sequential(
    fc1=nn.Linear(CHANNELS, HIDDEN),
    lif1=nn.RLeaky(beta=0.95, linear_features=HIDDEN),
    fc2=nn.Linear(HIDDEN, CLASSES),
    lif2=nn.Leaky(beta=0.95, reset="none"),
)


def main() -> int:
    options = parse()
    learned, held_out = (
        words(count, options.num_steps, seed) for seed, count in enumerate((options.words, options.test))
    )
    model = snncc.compile(
        net,
        num_steps=options.num_steps,
        loss=loss.cross_entropy("mem_mean"),
        optimizer=optim.Adam(1e-3),
        lengths=True,
        name="shd",
        seed=options.seed,
    )
    # Few channels spike at a time: as PyTorch's layers start, no neuron would fire.
    model.params["fc1.weight"] = 4 * model.params["fc1.weight"]
    print("epoch      loss   held out             seconds")
    model.fit(
        learned.x,
        learned.y,
        lengths=learned.lengths,
        epochs=options.epochs,
        batch_size=options.batch_size,
        validation_data=(held_out.x, held_out.y, held_out.lengths),
        progress=False,
        callbacks=[report],
    )
    model.save(options.out)
    print(f"saved to {options.out}")
    return 0


def report(epoch: int, history: snncc.History) -> None:
    loss, held_out, right, seconds = (
        history[name][-1] for name in ("loss", "val_loss", "val_accuracy", "seconds")
    )
    print(f"{epoch + 1:5} {loss:9.4f} {held_out:10.4f} {100 * right:8.1f}% {seconds:8.2f}", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a recurrent network on made-up spoken digits.")
    add = parser.add_argument
    add("--epochs", type=int, default=20)
    add("--words", type=int, default=2000, help="to learn from")
    add("--test", type=int, default=500, help="words held out")
    add("--batch-size", type=int, default=50)
    add("--num-steps", type=int, default=100, help="of the longest word")
    add("--seed", type=int, default=0, help="of the initial weights")
    add("--out", type=Path, default=Path("build/shd"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
