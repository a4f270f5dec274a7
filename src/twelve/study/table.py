"""The findings of a study, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twelve.metrics.bootstrap import Interval
from twelve.progress import clock
from twelve.study.arms import ARMS, BASE, OPPONENT
from twelve.study.findings import Findings, Row
from twelve.study.results import Search


def markdown(found: Findings, searched: Mapping[str, Search]) -> str:
    """The whole page.

    Args:
        searched: the searches of learning rates, see :func:`twelve.study.results.searched`.
    """
    parts = [verdict(found), _who(found), _endpoint(found), _tasks(found), _seeds(found), _rates(found, searched)]
    return "\n\n".join(part for part in parts if part) + "\n"


def verdict(found: Findings) -> str:
    """The answer to the question of the study, in one paragraph."""
    opponent = OPPONENT if OPPONENT in found.arms else next((arm for arm in found.arms if arm != BASE), None)
    if opponent is None:
        return "There is only one arm, so there is nothing to compare."
    gain = found.endpoint.closed[opponent]
    alone = ARMS[opponent].alone
    names = ("the joint model", f"the {len(found.rows)} single models") if alone else (BASE, opponent)
    numbers = (
        f"{gain.mean:+.1f} {_range(gain)} per cent of the way from baseline to upper bound, {BASE} minus {opponent}"
    )
    if gain.low > 0:
        said = f"**{names[0]} closes more than {names[1]}**: {numbers}."
    elif gain.high < 0:
        said = f"**{names[0]} closes less than {names[1]}**: {numbers}."
    else:
        said = f"**{names[0]} and {names[1]} do not differ significantly**: {numbers}."
    said = said.replace("**the", "**The")
    up = [row.title for row in found.rows if row.closed[opponent].low > 0]
    down = [row.title for row in found.rows if row.closed[opponent].high < 0]
    rest = len(found.rows) - len(up) - len(down)
    return f"{said} {_list('Better', up)} {_list('Worse', down)} Not significant on {rest}."


def _list(word: str, titles: Sequence[str]) -> str:
    names = [title.rpartition(", ")[0] for title in titles]
    return f"{word} on {len(names)}: {', '.join(names)}." if names else f"{word} on none."


def _who(found: Findings) -> str:
    plan = found.plan
    seeds = f"{len(found.seeds)} seeds ({', '.join(map(str, found.seeds))}), each "
    lines = [
        seeds + ("a drawn world and its models" if plan.worlds else "its models, all on the same data") + ".",
        "Differences are the base arm's score minus the other's, with two-level bootstrap intervals of 95 %.",
    ]
    if len(found.seeds) == 1:
        lines.append("One seed: the intervals hold for these very models, not for others trained the same way.")
    if missing := [str(seed) for seed in plan.seeds if seed not in found.seeds]:
        lines.append(f"Not complete, and not counted: seeds {', '.join(missing)}.")
    lines += [f"{title} is not in the mean: {why}." for title, why in found.left_out.items()]
    return " ".join(lines)


def _endpoint(found: Findings) -> str:
    free = found.image_free
    rows = []
    for arm in found.arms:
        cost, gain = found.costs[arm], found.endpoint.closed.get(arm)
        rows.append(
            [
                arm,
                ARMS[arm].meaning,
                f"{found.endpoint.scores[arm].mean:.1f} {_range(found.endpoint.scores[arm], '.1f')}",
                _gain(gain),
                _gain(free.get(arm)),
                f"{cost.parameters / 1e6:.2f}",
                f"{cost.updates:,.0f}",
                clock(cost.seconds),
            ]
        )
    header = [
        "arm",
        "",
        "closed, % (endpoint)",
        f"{BASE} minus it",
        "the same, baselines without a model",
        "parameters, M",
        "updates",
        "training",
    ]
    return _table(header, rows)


def _tasks(found: Findings) -> str:
    others = [arm for arm in found.arms if arm != BASE]
    header = ["task", "baseline", "upper bound", *found.arms, *(f"{BASE} minus {arm}, points" for arm in others)]
    rows = [
        [
            row.title,
            _number(row.baseline),
            _number(row.upper_bound),
            *(f"{row.scores[arm].mean:.1f}" for arm in found.arms),
            *(_gain(row.gains[arm]) for arm in others),
        ]
        for row in found.rows
    ]
    return _table(header, rows)


def _seeds(found: Findings) -> str:
    header = ["closed, %, by seed", *(str(seed) for seed in found.seeds)]
    return _table(header, [[arm, *(f"{value:.1f}" for value in found.endpoint.seeds[arm])] for arm in found.arms])


def _rates(found: Findings, searched: Mapping[str, Search]) -> str:
    factors = found.plan.factors
    done = {key: one.chosen for key, one in searched.items() if one.chosen is not None}
    if not done:
        return ""
    at = [key for key, factor in done.items() if factor in (min(factors), max(factors))]
    said = f"Learning rates, by the mean validation score (%) of runs of {found.plan.search:.0%} of the length, seed "
    said += f"{found.plan.seeds[0]}."
    if at and len(factors) > 2:
        said += f" At the edge of the grid: {', '.join(at)}."
    rows = []
    for key, factor in done.items():
        validations = [searched[key].validations[str(each)] for each in factors]
        shown = ["diverged" if validation is None else f"{100 * validation:.1f}" for validation in validations]
        rows.append([key, *shown, f"{factor:g}"])
    return f"{said}\n\n" + _table(["arm", *(f"x {factor:g}" for factor in factors), "chosen"], rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _gain(gain: Interval | None) -> str:
    return "" if gain is None else f"{gain.mean:+.1f} {_range(gain)}"


def _range(found: Interval, form: str = "+.1f") -> str:
    return f"[{found.low:{form}}, {found.high:{form}}]"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def every_row(found: Findings) -> list[Row]:
    """The rows of the tasks, and that of the mean."""
    return [*found.rows, found.endpoint]
