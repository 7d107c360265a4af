"""Streams of a GPU: whatever a caller has for one, as CUDA's handle."""

from __future__ import annotations

from typing import Any

from .errors import ModelError

LEGACY = 1  # how CUDA, DLPack and __cuda_array_interface__ name the default stream, whose handle is 0


def handle_of(stream: Any) -> int:
    """The cudaStream_t of a number, of None (the default stream), or of an object: anything with
    `__cuda_stream__`, PyTorch's (`cuda_stream`), CuPy's (`ptr`). Raises ModelError."""
    found = 0 if stream is None else stream
    if hasattr(stream, "__cuda_stream__"):
        found = stream.__cuda_stream__()[1]  # (version, handle)
    else:
        for name in ("cuda_stream", "ptr"):
            found = getattr(found, name, found)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < 2**64:
        raise ModelError(
            f"stream: expected a cudaStream_t as a number, a stream of PyTorch or CuPy, or None for the "
            f"default stream, found {stream!r}"
        )
    return 0 if found == LEGACY else found
