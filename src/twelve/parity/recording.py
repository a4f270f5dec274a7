"""Reading what was recorded from the original programs: JSON of a known shape beside tensors by name."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from twelve.errors import DataError
from twelve.io.json_file import LARGE, read_object

REMEDY = "record it again, or fetch the complete recording"


class Recorded(BaseModel):
    """Base of everything read from a recording's JSON: what we do not compare may be there too.

    Values are of the type that JSON gives them: ``"1"`` or ``true`` are no numbers.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


R = TypeVar("R", bound=Recorded)

Rate: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A learning rate of a recording's JSON."""


def read(file: Path, shape: type[R]) -> R:
    """The JSON object in ``file`` as ``shape``; raises DataError that names the key which is missing or wrong."""
    return parse(read_object(file, DataError, remedy=REMEDY, most=LARGE), shape, file)


def parse(tree: Any, shape: type[R], file: Path, record: str = "") -> R:
    """A part of a recording as ``shape``; ``record`` says which part."""
    try:
        # As JSON: there, even when checked strictly, a list may be a tuple and a key a number.
        return shape.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([*([record] if record else []), *(str(part) for part in first["loc"])])
        raise DataError(first["msg"], file=file, record=where, remedy=REMEDY) from None


class Tensors:
    """The tensors of a safetensors file, by name.

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
        """The tensor called ``name``; ``shape`` says what it must look like, -1 for any size."""
        if name not in self.tensors:
            raise DataError("this tensor is missing", file=self.file, record=name, remedy=REMEDY)
        tensor = self.tensors[name]
        fits = len(tensor.shape) == len(shape) and all(
            want in (-1, size) for size, want in zip(tensor.shape, shape, strict=True)
        )
        if shape and not fits:
            raise DataError(
                f"is {list(tensor.shape)}, expected {list(shape)}", file=self.file, record=name, remedy=REMEDY
            )
        return tensor

    def ids(self, name: str, below: int, *shape: int) -> Tensor:
        """As :meth:`get`, and every value must be a whole number from 0 up to, but not including, ``below``."""
        tensor = self.get(name, *shape)
        whole = not tensor.is_floating_point() and not tensor.is_complex() and tensor.dtype != torch.bool
        if not whole or not tensor.numel() or not bool(((tensor >= 0) & (tensor < below)).all()):
            problem = f"must hold whole numbers from 0 to {below - 1}"
            raise DataError(problem, file=self.file, record=name, remedy=REMEDY)
        return tensor

    def finite(self, name: str, *shape: int) -> Tensor:
        """As :meth:`get`, and every value must be a finite number."""
        tensor = self.get(name, *shape)
        if not tensor.is_floating_point() or not tensor.numel() or not bool(tensor.isfinite().all()):
            raise DataError("must hold finite floating-point numbers", file=self.file, record=name, remedy=REMEDY)
        return tensor

    def require(self, names: Iterable[str]) -> None:
        """Raises DataError that names the first of ``names`` which is missing."""
        for name in names:
            self.get(name)

    def under(self, prefix: str) -> dict[str, Tensor]:
        """Tensors whose names begin with ``prefix`` and a dot, by the rest of their names."""
        start = prefix + "."
        return {name.removeprefix(start): tensor for name, tensor in self.tensors.items() if name.startswith(start)}


def largest(ours: Tensor, theirs: Tensor) -> float:
    """Largest absolute difference; infinite where shapes differ or only one of the two is a number."""
    if ours.shape != theirs.shape:
        return float("inf")
    if not ours.numel():
        return 0.0
    difference = (ours.detach().double() - theirs.double()).abs()
    return float(torch.nan_to_num(difference, nan=torch.inf).max())


def worst(differences: Iterable[float]) -> float:
    """Largest absolute value; infinite when one of them is not a number, 0 when there are none."""
    return max((math.inf if math.isnan(size) else abs(size) for size in differences), default=0.0)
