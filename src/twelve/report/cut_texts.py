"""The step that a report advises where the model did not read the texts to their end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from twelve.report.reading import Run
from twelve.report.scores import LEAST
from twelve.report.step import Step, to_check, to_train_again
from twelve.report.verdict import ScoredTask
from twelve.types.cut import Cut

_WHY = "The part that is not read may decide the answer."


def whole_texts(run: Run, scored: Sequence[ScoredTask]) -> Iterator[Step]:
    """Tasks whose score leaves room, and many of whose texts are cut: let the model read them whole, which more
    examples cannot replace."""
    said, settings, shorten = list[str](), list[str](), False
    for each in scored:
        found = {texts: cut for texts, cut in _cut(run, each) if cut.matters(official=not run.can_grow(each.name))}
        if not found or (each.score.left <= LEAST and not each.score.unbeaten):
            continue
        longest = max(found.values(), key=lambda cut: cut.longest)
        own = longest.settings(each.name, run.positions or longest.limit, grows=run.config.model.grows)
        settings += [setting for setting in own if setting not in settings]
        shorten |= not own or own[0] != f"tasks.{each.name}.max_text={longest.longest}"
        title = "" if len(scored) == 1 else f"{each.title}: "
        said += [f"{title}{cut.sentence(texts)}." for texts, cut in found.items()]
    if not said:
        return
    why, shorter = " ".join(said), "Shorten texts that are longer than the model reads." if shorten else ""
    commands = to_train_again(run, "whole-texts", *settings) if settings else []
    if commands:
        yield Step("Let the model read whole texts", f"{why} {_WHY}", commands, shorter)
    elif shorten:
        how = f"Shorten them: the model reads at most {run.positions:,}." if run.positions else "Shorten them."
        yield Step("Shorten the texts", f"{why} {_WHY} {how}", to_check(run), "The command counts them.")


def _cut(run: Run, each: ScoredTask) -> Iterator[tuple[str, Cut]]:
    """(which texts, how many of them are cut) for the test texts and the training texts of a task."""
    measured, sizes = run.results[each.name].cut, run.data.tasks.get(each.name)
    if measured is not None:
        yield "test texts", measured
    if sizes is not None and sizes.cut is not None:
        yield "training texts", sizes.cut
