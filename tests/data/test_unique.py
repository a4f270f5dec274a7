"""Keys that occur twice are found, wherever they stand, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from twelve.errors import DataError
from twelve.formats import unique as module
from twelve.formats.records import Record
from twelve.formats.unique import unique

KEYS = st.text("01", max_size=3) | st.text(max_size=2) | st.integers(0, 10**20).map(str)


@given(st.lists(KEYS, max_size=14), st.integers(1, 5))
@example(["0", "00", "1", "01", "10", "1" * 17, "1" * 18, "١"], 2)
def test_keys_that_differ_pass_and_the_first_repeated_one_is_named(keys: list[str], block: int) -> None:
    pairs = [(key, Record({}, Path("a.json"), f"[{place}]")) for place, key in enumerate(keys)]
    passed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        again = next((place for place, key in enumerate(keys) if key in keys[:place]), None)
        if again is None:
            assert [key for key, _ in unique(pairs, "twice")] == keys
            return
        with pytest.raises(DataError) as caught:
            passed += [key for key, _ in unique(pairs, "{key} twice")]
    assert str(caught.value).startswith("a.json [[")
    place = int(str(caught.value).split("[[")[1].split("]")[0])
    assert keys[place] in keys[:place] and caught.value.problem == " ".join(f"{keys[place]} twice".split(" "))
