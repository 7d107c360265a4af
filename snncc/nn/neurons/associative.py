"""A spiking associative memory: a matrix of membranes that values and keys write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ...ops import Value, matmul, sigmoid, spike, spread
from ..layers import Linear, positive
from ..module import delay
from ..neuron import Neuron, Number, check_surrogate, coefficient, named_outputs
from ..surrogate import Surrogate


class AssociativeLeaky(Neuron):
    """A leaky matrix of membranes: each step writes a value at a key, and a query reads the spikes.

        value, key, alpha, query = to_v(x), to_k(x), sigmoid(to_alpha(x)), to_q(x)
        mem[i, j] = alpha[j] mem[i, j] + value[i] key[j]
        spk       = mem > threshold
        out[i, k] = sum over j of spk[i, j] query[j, k]

    It is a layer of its own. All matrices are flat, row by row: mem and spk of d_value x d_key, query of
    d_key x d_value, out of d_value x d_value. Without a query, out is spk.

    in_features: size of the input.
    d_value: size of a value.
    d_key: size of a key, and number of decays.
    threshold: a number, or one a membrane.
    use_q_projection: whether a query reads the spikes.
    surrogate: derivative of the spike at mem - threshold; None: spikes carry no gradient.
    Outputs: out, spk, mem.
    Differences: snnTorch divides what is written by the product of all alphas so far, with 1e-8 added, and
    multiplies the sum by it; where that product gets small (about 1e-8) its membranes fade. It returns `out`
    only.
    """

    known_as: ClassVar[Mapping[str, str]] = {"snnTorch": "AssociativeLeaky"}

    def __init__(
        self,
        in_features: int,
        d_value: int,
        d_key: int,
        threshold: Number = 1.0,
        *,
        use_q_projection: bool = True,
        surrogate: Surrogate | None = Neuron.surrogate,
    ) -> None:
        positive(self, in_features=in_features, d_value=d_value, d_key=d_key)
        self.in_features, self.d_value, self.d_key = in_features, d_value, d_key
        self.to_v, self.to_k = Linear(in_features, d_value), Linear(in_features, d_key)
        self.to_alpha = Linear(in_features, d_key)
        if use_q_projection:
            self.to_q = Linear(in_features, d_value * d_key)
        self.use_q_projection = use_q_projection
        self.threshold = coefficient(self, "threshold", threshold, learnable=False)
        self.surrogate = check_surrogate(self, surrogate)

    def forward(self, current: Value) -> tuple[Value, ...]:
        written = spread(self.to_v(current), self.shape) * self.by_key(self.to_k(current))
        mem = self.remembered(written, sigmoid(self.to_alpha(current)))
        spk = self.by_rate(spike(mem - self.threshold, self.surrogate), current)
        out = self.read(spk, self.to_q(current)) if self.use_q_projection else spk
        return named_outputs(("out", "spk", "mem"), (out, spk, mem))

    @property
    def shape(self) -> tuple[int]:
        """Of the membranes, row by row."""
        return (self.d_value * self.d_key,)

    def by_key(self, x: Value) -> Value:
        """A number for each key, for every value."""
        return spread(x, self.shape, trailing=True)

    def remembered(self, written: Value, alpha: Value) -> Value:
        """The membranes."""
        memory = delay(shape=written.shape, name="mem")
        mem: Value = memory.feed(self.by_key(alpha) * memory.value + written)
        return mem

    def read(self, spk: Value, query: Value) -> Value:
        """The product of the spikes and the query of a sample."""
        d, n = self.d_value, self.d_key
        out: Value = matmul(spk.reshape(d, n), query.reshape(n, d)).reshape(d * d)
        return out
