"""The CUDA backend: a program as the files of a model folder. It prints; it decides nothing.

model.py    model.h, model.cu, Makefile
entries.py  the functions of the entry points: which kernels start, in order
sweeps.py   elementwise kernels, which are generated
loops.py    loops over time that are one kernel; elements.py: what they do with an element
calls.py    calls of the kernels of include/snncc/cuda; starts.py: their common forms
products.py calls of dense products, which cuBLAS may compute
"""

from .model import emit

__all__ = ["emit"]
