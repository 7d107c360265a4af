"""Spike trains like those of the Spiking Heidelberg Digits, made up: their form, with known statistics.

The Heidelberg Digits (Cramer et al. 2020, https://doi.org/10.1109/TNNLS.2020.3044364) are spoken digits as
the spikes of 700 channels of a cochlea model, in 20 classes, of different lengths. Here a word is what its
formants do: three bands of activity that move over the channels while the word lasts.

- Channels 700, classes 20, at most `num_steps` steps. Lengths are uniform from half of that to all of it.
- A class has three bands; where each starts and ends is drawn once for each pair of classes, between
  channels 70 and 630. Between, the band moves evenly with the share of the word that is over.
- Classes 2k and 2k + 1 have the same bands, played forward and backward: counts of spikes do not tell them
  apart.
- A channel spikes in a step with probability 0.004 + 0.1 exp(-d^2 / (2 15^2)) for the nearest band's
  distance d; a word is shifted as a whole by a number of channels, normal with deviation 10.
- So 1.7 to 2.1 % of the channels spike in a step, by class, and 1.9 % on the whole. Past its end a sample
  has no spikes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

CHANNELS, CLASSES, BANDS = 700, 20, 3
NOISE, PEAK, WIDTH, SHIFT = 0.004, 0.1, 15.0, 10.0
LOWEST, HIGHEST = 70, 630


class Words(NamedTuple):
    """x: spikes, uint8 [T, N, 700]; lengths: steps of each sample, int64 [N]; y: classes, int64 [N]."""

    x: np.ndarray
    lengths: np.ndarray
    y: np.ndarray


def words(count: int, num_steps: int = 100, seed: int = 0) -> Words:
    """So many samples, of all classes alike; the same for the same seed."""
    rng = np.random.default_rng([seed, count, num_steps])
    y = rng.permutation(np.arange(count) % CLASSES)
    lengths = rng.integers(-(-num_steps // 2), num_steps + 1, count)
    x = np.zeros((num_steps, count, CHANNELS), np.uint8)
    for sample, (label, steps) in enumerate(zip(y, lengths, strict=True)):
        shift = np.rint(rng.normal(0, SHIFT))
        x[:steps, sample] = rng.random((steps, CHANNELS)) < rates(int(label), int(steps), shift)
    return Words(x, lengths, y)


def rates(label: int, steps: int, shift: float = 0.0) -> np.ndarray:
    """The probability of a spike, [steps, channels]."""
    start, end = np.random.default_rng([2020, label // 2]).uniform(LOWEST, HIGHEST, (2, BANDS))
    share = (np.arange(steps) + 0.5) / steps
    share = 1 - share if label % 2 else share
    band = start + (end - start) * share[:, None] + shift
    distance = np.abs(np.arange(CHANNELS)[:, None] - band[:, None]).min(axis=2)
    found: np.ndarray = NOISE + PEAK * np.exp(-(distance**2) / (2 * WIDTH**2))
    return found
