"""What a program's kernels are, what they do, and how many operations and bytes that takes.

A kernel here is what the profile counts as one: a product, a neuron's equations, a list of events, or a
few small things in a row. The manifest describes each by coefficients, so that the cost before a run and
the operations of a measured run are the same sums over the same table.
"""

from .kernels import Kernel, kernels
from .table import records

__all__ = ["Kernel", "kernels", "records"]
