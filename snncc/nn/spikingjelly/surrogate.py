"""SpikingJelly's surrogates: its class names, arguments and defaults, as surrogates of nn.surrogate.

    nn.Leaky(0.9, surrogate=nn.spikingjelly.surrogate.Sigmoid(alpha=4.0))

Its spike is 1 where u >= 0; that is the neuron's, and the neurons of nn.spikingjelly do the same. With
spiking=False it puts the antiderivative in place of the spike. snncc's spikes are 0 or 1: that is an error.
"""

from __future__ import annotations

from ...arguments import checked
from ...errors import located, user_line
from .. import surrogate as own
from ..surrogate.base import Surrogate, check_above


@checked
def PiecewiseQuadratic(alpha: float = 1.0, spiking: bool = True) -> Surrogate:
    """A triangle of height alpha, zero beyond 1/alpha."""
    return own.Triangle(1.0 / _positive("PiecewiseQuadratic", alpha, spiking))


@checked
def PiecewiseExp(alpha: float = 1.0, spiking: bool = True) -> Surrogate:
    """(alpha/2) exp(-alpha |u|)."""
    alpha = _positive("PiecewiseExp", alpha, spiking)
    return own.Exponential(alpha, alpha / 2)


@checked
def Sigmoid(alpha: float = 4.0, spiking: bool = True) -> Surrogate:
    """SpikingJelly's default."""
    _only_spikes("Sigmoid", spiking)
    return own.Sigmoid(alpha)


@checked
def SoftSign(alpha: float = 2.0, spiking: bool = True) -> Surrogate:
    """1 / (2 alpha (1/alpha + |u|)^2)."""
    alpha = _positive("SoftSign", alpha, spiking)
    return own.FastSigmoid(alpha, alpha / 2)


@checked
def SuperSpike(alpha: float = 1.0, spiking: bool = True) -> Surrogate:
    """alpha / (1 + |u|)^2."""
    _only_spikes("SuperSpike", spiking)
    return own.FastSigmoid(1.0, alpha)


@checked
def ATan(alpha: float = 2.0, spiking: bool = True) -> Surrogate:
    """The same as snnTorch's atan."""
    _only_spikes("ATan", spiking)
    return own.ATan(alpha)


@checked
def NonzeroSignLogAbs(alpha: float = 1.0, spiking: bool = True) -> Surrogate:
    """1 / (1/alpha + |u|)."""
    _only_spikes("NonzeroSignLogAbs", spiking)
    return own.LogAbs(alpha)


@checked
def Erf(alpha: float = 2.0, spiking: bool = True) -> Surrogate:
    """(alpha / sqrt(pi)) exp(-(alpha u)^2)."""
    _only_spikes("Erf", spiking)
    return own.Gaussian(alpha)


@checked
def PiecewiseLeakyReLU(w: float = 1.0, c: float = 0.01, spiking: bool = True) -> Surrogate:
    """1/(2w) where |u| < w, else c."""
    _only_spikes("PiecewiseLeakyReLU", spiking)
    return own.Rectangle(2.0 * check_above("PiecewiseLeakyReLU", "w", w, 0.0), c)


@checked
def SquarewaveFourierSeries(n: int = 2, T_period: float = 8, spiking: bool = True) -> Surrogate:
    """n - 1 terms, as in SpikingJelly's code."""
    _only_spikes("SquarewaveFourierSeries", spiking)
    if n < 2:
        message = f"SquarewaveFourierSeries: n must be at least 2 (there are n - 1 terms), got {n}"
        raise located(message, user_line())
    return own.SquareWave(n - 1, T_period)


@checked
def S2NN(alpha: float = 4.0, beta: float = 1.0, spiking: bool = True) -> Surrogate:
    """A sigmoid's derivative below the threshold, beta / (u + 1) from there on."""
    _only_spikes("S2NN", spiking)
    return own.S2NN(alpha, beta)


@checked
def QPseudoSpike(alpha: float = 2.0, spiking: bool = True) -> Surrogate:
    """(1 + 2 |u| / (alpha - 1))^(-alpha)."""
    _only_spikes("QPseudoSpike", spiking)
    return own.QPseudoSpike(alpha)


@checked
def LeakyKReLU(leak: float = 0.0, k: float = 1.0, spiking: bool = True) -> Surrogate:
    """k from u = 0 on, leak below."""
    _only_spikes("LeakyKReLU", spiking)
    return own.TwoSlopes(leak, k, strict=False)


@checked
def FakeNumericalGradient(alpha: float = 0.3) -> Surrogate:
    """min(1 / |u|, alpha)."""
    return own.Reciprocal(alpha)


@checked
def LogTailedReLU(alpha: float = 0.0, spiking: bool = True) -> Surrogate:
    """alpha where u <= 0, 1 up to u = 1, 1/u above."""
    _only_spikes("LogTailedReLU", spiking)
    return own.LogTailedReLU(alpha)


@checked
def DeterministicPass(spiking: bool = True) -> Surrogate:
    """The gradient passes unchanged."""
    _only_spikes("DeterministicPass", spiking)
    return own.StraightThrough()


@checked
def Rect(alpha: float = 1.0, spiking: bool = True) -> Surrogate:
    """alpha where |u| < 1/(2 alpha), else 0."""
    return own.Rectangle(1.0 / _positive("Rect", alpha, spiking))


def _positive(name: str, alpha: float, spiking: bool) -> float:
    _only_spikes(name, spiking)
    return check_above(name, "alpha", alpha, 0.0)


def _only_spikes(name: str, spiking: bool) -> None:
    if spiking is not True:
        message = (
            f"{name}: spiking must be True, got {spiking!r}: snncc's spikes are 0 or 1; for a smooth output "
            "give the network an output that is computed from the membrane"
        )
        raise located(message, user_line())


__all__ = [
    "S2NN",
    "ATan",
    "DeterministicPass",
    "Erf",
    "FakeNumericalGradient",
    "LeakyKReLU",
    "LogTailedReLU",
    "NonzeroSignLogAbs",
    "PiecewiseExp",
    "PiecewiseLeakyReLU",
    "PiecewiseQuadratic",
    "QPseudoSpike",
    "Rect",
    "Sigmoid",
    "SoftSign",
    "SquarewaveFourierSeries",
    "SuperSpike",
]
