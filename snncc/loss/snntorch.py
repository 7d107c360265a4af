"""snnTorch's losses under their own names and with their own defaults: `loss.snntorch.ce_count_loss()`.

Where they differ from snnTorch's: targets are given to the compiled model, not to the loss. `weight` of the
mse losses is a factor for each sample, by its class (snnTorch multiplies along the wrong axis, which only
works for as many samples as classes). Off targets are clamped as there: with on > off, the other classes'
target is max(0, off). That is why mse_temporal_loss() asks every neuron to fire at the first step.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..arguments import checked
from ..errors import CompileError, user_line
from .errors import CrossEntropy, MeanSquaredError, cross_entropy, mse
from .rates import RateLoss

Weights = Sequence[float] | None


@checked
def ce_rate_loss(
    population_code: bool = False,
    num_classes: int | bool = False,
    reduction: str = "mean",
    weight: Weights = None,
) -> CrossEntropy:
    """Cross-entropy of the spikes at each step, averaged; a population code sums groups (there it fails)."""
    classes = _population("ce_rate_loss", population_code, num_classes, reduction)
    return cross_entropy("rate", population=classes, class_weights=weight)


@checked
def ce_count_loss(
    population_code: bool = False,
    num_classes: int | bool = False,
    reduction: str = "mean",
    weight: Weights = None,
) -> CrossEntropy:
    """Cross-entropy of the spike counts."""
    classes = _population("ce_count_loss", population_code, num_classes, reduction)
    return cross_entropy("count", population=classes, class_weights=weight)


@checked
def ce_max_membrane_loss(reduction: str = "mean", weight: Weights = None) -> CrossEntropy:
    """Cross-entropy of the largest membrane of all steps."""
    _population("ce_max_membrane_loss", False, 0, reduction)
    return cross_entropy("mem_max", class_weights=weight)


@checked
def mse_count_loss(
    correct_rate: float = 1,
    incorrect_rate: float = 0,
    population_code: bool = False,
    num_classes: int | bool = False,
    reduction: str = "mean",
    weight: Weights = None,
) -> MeanSquaredError:
    """Squared distance of spike counts from the counts of these rates."""
    classes = _population("mse_count_loss", population_code, num_classes, reduction)
    off = _clamped(correct_rate, incorrect_rate)
    return mse("count", on=correct_rate, off=off, population=classes, class_weights=weight)


@checked
def mse_membrane_loss(
    time_var_targets: bool = False,
    on_target: float = 1,
    off_target: float = 0,
    reduction: str = "mean",
    weight: Weights = None,
) -> MeanSquaredError:
    """Squared distance of the membrane from its target at each step, averaged over the steps."""
    _population("mse_membrane_loss", False, 0, reduction)
    if time_var_targets:
        raise CompileError(
            "mse_membrane_loss: labels that vary over time are not supported; give their membranes as arrays "
            f"[T, B, classes]: loss.mse('mem', time_varying=True) ({user_line()})"
        )
    return mse("mem", on=on_target, off=_clamped(on_target, off_target), class_weights=weight)


@checked
def mse_temporal_loss(
    target_is_time: bool = False,
    on_target: float | Sequence[float] = 0,
    off_target: float | Sequence[float] = -1,
    tolerance: float = 0,
    multi_spike: bool = False,
    reduction: str = "mean",
    weight: Weights = None,
) -> MeanSquaredError:
    """Squared distance of first spike times from their targets; multi_spike: of the first, second ... spike.

    A neuron's second spike is the next one of that neuron; snnTorch erases the whole step of each first
    spike, for all samples and outputs.
    """
    _population("mse_temporal_loss", False, 0, reduction)
    if target_is_time:
        return mse("latency", tolerance=tolerance, class_weights=weight)
    if multi_spike != isinstance(on_target, Sequence):
        raise CompileError(
            f"mse_temporal_loss: on_target is a list with multi_spike only, got {on_target!r} ({user_line()})"
        )
    ons, offs = (t if isinstance(t, Sequence) else (t,) for t in (on_target, off_target))
    if len(ons) != len(offs) or not ons:
        raise CompileError(
            "mse_temporal_loss: with multi_spike, on_target and off_target are lists of one length, got "
            f"{on_target!r} and {off_target!r} ({user_line()})"
        )
    offs = [_clamped(on, off) for on, off in zip(ons, offs, strict=True)]
    if multi_spike:
        return mse("latency", on=ons, off=offs, tolerance=tolerance, class_weights=weight)
    return mse("latency", on=ons[0], off=offs[0], tolerance=tolerance, class_weights=weight)


@checked
def ce_temporal_loss(
    inverse: str = "negate", reduction: str = "mean", weight: Weights = None
) -> CrossEntropy:
    """Cross-entropy of the first spikes' times, the earliest one winning.

    weight: of the classes; here snnTorch divides by the sum of the batch's weights.
    """
    _population("ce_temporal_loss", False, 0, reduction)
    weighted = weight is not None
    return cross_entropy("latency", inverse=inverse, class_weights=weight, weighted_mean=weighted)


class reg:
    """Regularisers."""

    @staticmethod
    @checked
    def l1_rate_sparsity(Lambda: float = 1e-5, of: str = "spk") -> RateLoss:
        """Lambda times the number of spikes, of all samples and steps; `of` a layer or output."""
        if Lambda < 0:
            raise CompileError(
                f"l1_rate_sparsity: Lambda must be a number from 0, got {Lambda} ({user_line()})"
            )
        return RateLoss("total", Lambda, of)


def _clamped(on: float, off: float) -> float:
    """The target of other classes: snnTorch's targets_convert."""
    return max(0, off) if on > off else off


def _population(name: str, population_code: bool, num_classes: int | bool, reduction: str) -> int:
    """The classes of a population code, 0 for none."""
    if reduction != "mean":
        raise CompileError(
            f"{name}: a compiled loss is one number, reduction='mean'; got {reduction!r} ({user_line()})"
        )
    if population_code and num_classes < 1:
        found = f"{name}: population_code=True needs num_classes, a positive number, got {num_classes}"
        raise CompileError(f"{found} ({user_line()})")
    return int(num_classes) if population_code else 0
