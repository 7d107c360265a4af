"""NIR, the Neuromorphic Intermediate Representation: files and graphs in and out.

The only place that knows the packages nir and h5py. `read` takes a file apart, `flat` and `shapes` check it,
`build` makes modules of nodes, `network` strings them together.
"""

from .export import export_nir
from .network import NIRNetwork, import_nir

__all__ = ["NIRNetwork", "export_nir", "import_nir"]
