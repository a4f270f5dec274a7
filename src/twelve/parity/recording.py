"""Reader of the original programs' recordings: validated JSON and tensors by name."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from twelve.errors import DataError, found_in
from twelve.io.invalid import problem_of
from twelve.io.json_file import LARGE, read_object

REMEDY = "record it again, or fetch the complete recording"


@contextmanager
def comparing(file: Path) -> Iterator[None]:
    """Turn torch's and NumPy's errors into DataErrors: the files are valid, but their contents do not fit together."""
    try:
        with found_in(file):
            yield
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        problem = f"the parts of this recording do not fit together: {type(error).__name__}: {error}"
        raise DataError(problem, file=file, remedy=REMEDY) from error


class Recorded(BaseModel):
    """Base of records read from JSON; unknown fields are ignored.

    Types are strict: ``"1"`` and ``true`` are not numbers.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


R = TypeVar("R", bound=Recorded)

Rate: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A learning rate."""


def read(file: Path, shape: type[R]) -> R:
    """Read the JSON object in ``file`` as ``shape``; raises DataError that names a missing or wrong key."""
    return parse(read_object(file, DataError, remedy=REMEDY, most=LARGE), shape, file)


def parse(tree: Any, shape: type[R], file: Path, record: str = "") -> R:
    """Validate a part of a recording as ``shape``; ``record`` names the part in errors."""
    try:
        # As JSON, where strict validation still accepts lists as tuples and keys as numbers.
        return shape.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([*([record] if record else []), *(str(part) for part in first["loc"])])
        raise DataError(problem_of(first), file=file, record=where, remedy=REMEDY) from None


class Tensors:
    """The tensors of a safetensors file by name.

    Raises:
        DataError: the file is missing or damaged; on access, a tensor is missing or of another shape.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        if not file.is_file():
            raise DataError("no such file", file=file, remedy=REMEDY)
        try:
            self.tensors: Mapping[str, Tensor] = load_file(file)
        except (SafetensorError, OSError) as error:
            raise DataError(f"not readable as safetensors: {error}", file=file, remedy=REMEDY) from None

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def get(self, name: str, *shape: int) -> Tensor:
        """The tensor ``name``, which must have ``shape`` (-1 for any size)."""
        if name not in self.tensors:
            raise DataError("this tensor is missing", file=self.file, record=name, remedy=REMEDY)
        tensor = self.tensors[name]
        fits = len(tensor.shape) == len(shape) and all(
            want in (-1, size) for size, want in zip(tensor.shape, shape, strict=True)
        )
        if shape and not fits:
            raise DataError(
                f"expected shape {list(shape)}, found {list(tensor.shape)}", file=self.file, record=name, remedy=REMEDY
            )
        return tensor

    def ids(self, name: str, below: int, *shape: int) -> Tensor:
        """Like :meth:`get`, for integers from 0 to ``below`` - 1."""
        tensor = self.get(name, *shape)
        whole = not tensor.is_floating_point() and not tensor.is_complex() and tensor.dtype != torch.bool
        if not whole or not tensor.numel() or not bool(((tensor >= 0) & (tensor < below)).all()):
            problem = f"must contain integers from 0 to {below - 1}"
            raise DataError(problem, file=self.file, record=name, remedy=REMEDY)
        return tensor

    def finite(self, name: str, *shape: int) -> Tensor:
        """Like :meth:`get`, for finite numbers."""
        tensor = self.get(name, *shape)
        if not tensor.is_floating_point() or not tensor.numel() or not bool(tensor.isfinite().all()):
            raise DataError("must contain finite floating-point numbers", file=self.file, record=name, remedy=REMEDY)
        return tensor

    def require(self, names: Iterable[str]) -> None:
        """Raise DataError for the first missing tensor among ``names``."""
        for name in names:
            self.get(name)

    def under(self, prefix: str) -> dict[str, Tensor]:
        """Tensors whose names start with ``prefix`` and a dot, by the rest of their names."""
        start = prefix + "."
        return {name.removeprefix(start): tensor for name, tensor in self.tensors.items() if name.startswith(start)}


def largest(ours: Tensor, theirs: Tensor) -> float:
    """Largest absolute difference; infinite if shapes differ or only one value is NaN."""
    if ours.shape != theirs.shape:
        return float("inf")
    if not ours.numel():
        return 0.0
    difference = (ours.detach().double() - theirs.double()).abs()
    return float(torch.nan_to_num(difference, nan=torch.inf).max())


def worst(differences: Iterable[float]) -> float:
    """Largest absolute value; infinite if any is NaN, 0 if there are none."""
    return max((math.inf if math.isnan(size) else abs(size) for size in differences), default=0.0)
