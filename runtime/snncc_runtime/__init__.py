"""Runs models that snncc compiled. Needs NumPy and cffi, not the compiler.

`load(folder)` gives a `Model`; `get_include()` is the folder of the C headers that generated code includes.
"""

from pathlib import Path

from . import metrics
from .device_array import DeviceArray
from .errors import ModelError
from .model import Model, load
from .profile import Profile
from .training import History
from .values import Gradients, Output

__all__ = [
    "DeviceArray",
    "Gradients",
    "History",
    "Model",
    "ModelError",
    "Output",
    "Profile",
    "get_include",
    "load",
    "metrics",
]
__version__ = "0.1.0"


def get_include() -> str:
    """A real folder for the C compiler's -I: headers are included as "snncc/snncc.h"."""
    return str(Path(__file__).parent / "include")
