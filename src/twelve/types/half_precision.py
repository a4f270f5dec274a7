"""Half-precision features: float16, and bfloat16, which neither NumPy nor Apache Arrow supports.

A bfloat16 is the upper half of a float32, stored here as its 16 bits in an unsigned integer. The Arrow field is marked
``dtype: bfloat16`` so that other readers can tell. Both types become torch tensors without a copy.
"""

from __future__ import annotations

import warnings
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

Halves: TypeAlias = NDArray[np.float16] | NDArray[np.uint16]
"""float16 numbers, or the bits of bfloat16 numbers."""

DTYPES: dict[str, np.dtype[Any]] = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(np.uint16)}
"""Name -> NumPy type that stores such features."""

_FIELD_KEY = b"dtype"


def feature_field(name: str, kind: pa.DataType, dtype: str) -> pa.Field:
    """The field of a half-precision column; bfloat16 is marked in its metadata."""
    return pa.field(name, kind, metadata={_FIELD_KEY: dtype} if dtype == "bfloat16" else None)


def dtype_of(field: pa.Field) -> str | None:
    """``float16`` or ``bfloat16``, the type of a feature column; None if neither."""
    kind = field.type
    while hasattr(kind, "value_type"):
        kind = kind.value_type
    if kind == pa.float16():
        return "float16"
    labelled = (field.metadata or {}).get(_FIELD_KEY) == b"bfloat16"
    return "bfloat16" if kind == pa.uint16() and labelled else None


def as_tensor(halves: Halves) -> torch.Tensor:
    """A float16 or bfloat16 tensor on the same memory; do not write to it if the array is a view of a file."""
    if halves.flags.writeable:
        return _tensor(halves)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch warns of read-only arrays
        return _tensor(halves)


def _tensor(halves: Halves) -> torch.Tensor:
    if halves.dtype == np.uint16:
        return torch.from_numpy(halves.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(halves)


def as_float32(halves: Halves) -> NDArray[np.float32]:
    """Convert to float32, exactly."""
    numbers: NDArray[np.float32] = as_tensor(halves).float().numpy()
    return numbers


def as_halves(values: NDArray[Any], dtype: str) -> Halves:
    """Convert to ``dtype`` (``float16`` or ``bfloat16``), rounding to nearest, ties to even."""
    stored = DTYPES[dtype]
    if values.dtype == stored:
        return values
    if values.dtype == np.uint16:
        values = as_float32(values)
    if stored == np.float16:
        return values.astype(np.float16)
    bits = torch.from_numpy(np.array(values, dtype=np.float32)).to(torch.bfloat16).view(torch.int16)
    halves: NDArray[np.uint16] = bits.numpy().view(np.uint16)
    return halves
