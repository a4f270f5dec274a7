"""Memory is used again only when nothing refers to it any more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from making import regions, write

from twelve.regions.store import memory as module
from twelve.regions.store.memory import Memory
from twelve.regions.store.region_store import RegionStore


def address(taken: torch.Tensor) -> int:
    return taken.data_ptr()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LARGE", 10)
    monkeypatch.setattr(module, "_LARGEST", 10_000)


def test_used_again_when_free() -> None:
    memory = Memory()
    first = memory.take(1000)
    place = address(first)
    second = memory.take(1000)
    assert address(second) != place
    del first
    assert address(memory.take(800)) == place
    assert len(memory.take(5)) == 5 and len(memory.take(20_000)) == 20_000


def test_not_while_a_tensor_or_a_view_of_it_lives() -> None:
    memory = Memory()
    tensor = memory.take(1000).view(torch.bfloat16).view(10, 50)
    tensor.fill_(3)
    part = tensor[2:4, 5:]
    del tensor
    others = [memory.take(1000) for _ in range(5)]
    for other in others:
        other.fill_(255)
    assert (part == 3).all()


def test_too_small_ones_go() -> None:
    memory = Memory()
    for size in range(100, 200):
        assert len(memory.take(size)) == size
    assert len(memory._kept) == 1
    held = [memory.take(300) for _ in range(9)]
    assert len({address(taken) for taken in held}) == 9 and len(memory._kept) == 2


def test_batches_of_a_store_do_not_share(tmp_path: Path) -> None:
    images = [regions(f"a/{k}", k % 5) for k in range(10)]
    write(tmp_path / "a" / "x.arrow", images)
    store = RegionStore(tmp_path)
    ids = [image.image_id for image in images]
    kept = [store.gather(ids[k : k + 4]).features for k in range(6)]
    copies = [batch.clone() for batch in kept]
    for k in range(6):
        store.gather(ids[k : k + 3])
    assert all(torch.equal(batch, copy) for batch, copy in zip(kept, copies, strict=True))
    view = kept.pop()[1, :2].numpy()
    expected = view.copy()
    kept.clear()
    for _ in range(4):
        store.gather(ids).features.fill_(7)
    np.testing.assert_array_equal(view, expected)
    place = store.gather(ids).features.data_ptr()
    assert store.gather(ids).features.data_ptr() == place


@pytest.mark.parametrize("shared", [False, True])
def test_what_a_worker_builds_is_not_copied(shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Memory, "shared", shared)
    images = [regions(f"a/{number}", number % 5) for number in range(4)]
    write(tmp_path / "a" / "x.arrow", images)
    features = RegionStore(tmp_path).gather([image.image_id for image in images]).features
    assert features.is_shared() is shared
    monkeypatch.setattr(Memory, "shared", False)
    assert torch.equal(features, RegionStore(tmp_path).gather([image.image_id for image in images]).features)
