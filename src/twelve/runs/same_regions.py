"""Whether the regions that an evaluation reads are those that the run was trained with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twelve.regions.store.region_store import RegionStore
from twelve.regions.store.samples import changed
from twelve.run_folder import RunFolder


class SameRegions:
    """Notices regions that have changed since a run was trained, though their extractor is the same.

    Args:
        fingerprints: image source -> extractor of the training regions. Those of another extractor are compared by
            :meth:`twelve.model.processor.TwelveProcessor.check_regions`.
        allow: a change is a warning, not an error.
        say: is given the notes and warnings.
    """

    def __init__(
        self, run: RunFolder, fingerprints: Mapping[str, str], *, allow: bool, say: Callable[[str], None]
    ) -> None:
        self._fingerprints, self._allow, self._say = fingerprints, allow, say
        self._changes: dict[str, str] = {}
        self._then = samples_of(run)
        if not self._then:
            say("note: the run has no record of its regions, so whether they have changed is not known")

    @property
    def facts(self) -> dict[str, Any]:
        """What the results of the evaluation record."""
        return {"changed_regions": self._changes} if self._changes else {}

    def check(self, store: RegionStore, sources: Sequence[str]) -> None:
        """Compare the regions of image sources; raises RegionError for changed ones."""
        for source in (each for each in sources if each not in self._changes):
            error = changed(store, source, self._then)
            if error is None or self._fingerprints.get(source) != store.fingerprint(source):
                continue
            if not self._allow:
                raise error
            self._changes[source] = error.problem
            self._say(f"warning: {source}: {error.problem}")


def samples_of(run: RunFolder) -> dict[str, str]:
    """Image id -> digest of its regions when the run was trained; empty for runs of earlier releases."""
    found = run.read(run.data).get("region_samples")
    return {str(image): str(one) for image, one in found.items()} if isinstance(found, dict) else {}
