"""snncc: an ahead-of-time compiler for spiking neural networks."""

__version__ = "0.1.0"
