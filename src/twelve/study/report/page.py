"""``twelve study report``: several studies on one page, and their plots as files beside it.

The page is one file: styles and plots (SVG) are inside. Without matplotlib (the extra ``plots``) it has no plots, and
says how to get them; every number of a plot is in a table as well.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twelve.errors import ConfigError
from twelve.extras import install
from twelve.io import files
from twelve.outputs import get_output
from twelve.progress import clock, counted, enumerated, tell, with_sign
from twelve.study import multiple, unseen
from twelve.study import plan as plans
from twelve.study.bootstrap import by_bootstrap_alone, significant
from twelve.study.cells import bounds, spread
from twelve.study.converged import convergence, is_clear, late_gains
from twelve.study.costs import lengths
from twelve.study.equal_updates import by_updates
from twelve.study.finding_types import Comparison, Findings, Score
from twelve.study.findings import findings
from twelve.study.identical import same_scores
from twelve.study.losses import meaning
from twelve.study.memorised import by_training
from twelve.study.report import plots
from twelve.study.report.beside import Beside, beside, further, minus, short, signed, titled, unlearned
from twelve.study.report.protocol import StudyProtocol, protocol
from twelve.study.report.relations import Relation, relations
from twelve.study.report.unlearned import doubts
from twelve.study.studies.base import NOT_COUNTED
from twelve.study.table import few_seeds, incomplete, no_search, origins, over_seeds, said_first, scores_by_seed
from twelve.study.trunk_rates import rates_differ, trunk_rates, written
from twelve.tasks.base import all_tasks
from twelve.tasks.custom import own_tasks
from twelve.training.convergence import GAIN

if TYPE_CHECKING:
    from rich.console import Console

    from twelve.outputs.base import Output
    from twelve.published import PublishedNumber
    from twelve.study.arms import Arm

ALONE = "*: by the bootstrap alone, the t interval contains 0"
"""What a star in a plot says."""
INTERVALS = "thick: bootstrap; thin: t interval over the seeds, cut off where it is very long"
"""What the lines of a plot of differences are."""
UNCOUNTED = (
    "a mean over all tasks, if most of the tasks are learned by none of the arms compared, the subtracted arm learned "
    "none, or the study has a warning"
)
"""Which means over all tasks are hollow in a plot."""
SMALL = re.compile(f"{NOT_COUNTED}|By seed")
"""Where that part of a sentence of the answer begins which the page has in small print (studies/base.py)."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot of a study.

    Attributes:
        name: of its files, without what they end with.
    """

    name: str
    caption: str
    svg: bytes
    pdf: bytes

    @property
    def uri(self) -> str:
        return _uri(self.svg)


@dataclass(frozen=True, slots=True)
class Course:
    """How the runs of one arm went on one task, seed by seed."""

    arm: str
    task: str
    parts: Sequence[str]
    ends: Sequence[str]
    """Whether it had converged at its end, in a word."""
    stops: Sequence[str]


@dataclass(frozen=True, slots=True)
class StudyPart:
    """A study on the page."""

    key: str
    found: Findings
    table: Beside
    further: Sequence[PublishedNumber]
    relations: Sequence[Relation]
    trained: Sequence[Course]
    plots: Sequence[Plot]

    @property
    def warnings(self) -> Sequence[str]:
        """What is said before the answer."""
        return said_first(self.found)

    @property
    def opening_sentences(self) -> Sequence[str]:
        """What the list of several studies says of this one's answer: its first two sentences, which means remain
        significant after Holm's correction, and what qualifies them."""
        told = [*self.found.sentences[:2], *multiple.named(self.found), *unseen.told(self.found), *self.found.notes]
        return list(dict.fromkeys(told))

    @property
    def named_arms(self) -> str:
        """What the arms are that the answer names, and how many there are beside them; those that differ in their tasks
        alone are told as one."""
        words = set(re.findall(r"[\w+-]+", " ".join(self.found.sentences)))
        alike: dict[str, list[Arm]] = {}
        for arm in self.found.arms:
            if arm.name in words:
                alike.setdefault(arm.meaning.replace(enumerated(arm.name.split("+")), "each"), []).append(arm)
        told = [
            f"{', '.join(arm.name for arm in arms)}: {meaning if len(arms) > 1 else arms[0].meaning}"
            for meaning, arms in alike.items()
        ]
        more = len(self.found.arms) - sum(map(len, alike.values()))
        return "; ".join([*told, *[f"and {counted(more, 'more arm')}"] * bool(told and more)])

    @property
    def uncorrected(self) -> str:
        """What qualifies the first sentence of a study with several differences; "" with one."""
        told = ["The intervals are not corrected for the number of comparisons."] * (len(self.found.comparisons) > 1)
        return " ".join(filter(None, [*told, multiple.told(self.found)]))

    @property
    def limits(self) -> Sequence[str]:
        """Notes, and what limits the findings."""
        found = self.found
        told = [
            *same_scores(found),
            *doubts(found),
            no_search(found),
            over_seeds(found),
            origins(found),
            convergence(found),
            few_seeds(found),
            *rates_differ(found),
            *lengths(found),
        ]
        return [*found.notes, *filter(None, [*told, incomplete(found)])]

    @property
    def late_gains(self) -> str:
        """How the validation scores changed at the end, as HTML; empty if nothing is known."""
        return html_of(late_gains(self.found))

    @property
    def unseen(self) -> str:
        """The differences on examples that are like those of training, and on the others, as HTML; empty if it was not
        recorded which ones are."""
        return html_of(unseen.by_part(self.found, marked=True))

    @property
    def scores_by_seed(self) -> str:
        """The score of every arm in every seed, as HTML; empty for one seed."""
        return html_of(scores_by_seed(self.found))

    @property
    def by_training(self) -> str:
        """Scores on training examples, as HTML; empty if they were not measured."""
        return html_of(by_training(self.found))

    @property
    def by_updates(self) -> str:
        """Updates of each task, and the differences at equal updates, as HTML; empty if they are not known."""
        return html_of(by_updates(self.found))

    @property
    def protocol(self) -> StudyProtocol:
        """How the study was run."""
        return protocol(self.found)

    @property
    def sections(self) -> Sequence[str]:
        """What only this study has, as HTML."""
        return [html_of(section) for section in self.found.sections]

    @property
    def own_plots(self) -> Mapping[str, str]:
        """Name of each plot that only this study has -> its data URI."""
        return {name: _uri(svg.encode()) for name, svg in self.found.plots.items()}


def write_study_report(studies: Sequence[Path], out: Path, *, console: Console | None = None) -> list[Path]:
    """Write the page and, in a folder beside it, every plot as SVG and PDF; return all files, the page first.

    Args:
        studies: folders of studies.
        out: the page, which may exist.

    Raises:
        ConfigError: no study is named, one is named twice, or something is in the way of a file.
        DataError: no study, no complete arm, or a damaged file.
    """
    places = [study.resolve() for study in studies]
    if not places or len(set(places)) < len(places):
        raise ConfigError("expected each study once, found " + (f"{len(places)} folders" if places else "none"))
    for study in studies:
        plans.check_there(study)
        plans.check_links(study)
    parts = [part_of(findings(study), key) for study, key in zip(studies, _keys(places), strict=True)]
    folder = out.with_name(f"{out.stem}-plots")
    made = {out: render(parts).encode()}
    for plot in (plot for part in parts for plot in part.plots):
        made |= {folder / f"{plot.name}.svg": plot.svg, folder / f"{plot.name}.pdf": plot.pdf}
    out.parent.mkdir(parents=True, exist_ok=True)
    if len(made) > 1:
        files.check_folder(folder)
        folder.mkdir(exist_ok=True)
    for file, content in made.items():
        with files.replacing(file) as partial_file:
            partial_file.write_bytes(content)
    if not plots.available():
        tell(f"no plots: matplotlib is not installed -> {install('plots')}", console)
    return list(made)


def part_of(found: Findings, key: str) -> StudyPart:
    """Everything that the page says about a study."""
    return StudyPart(
        key,
        found,
        beside(found),
        further(found),
        relations(found),
        tuple(_trained(found)),
        plots_of(found, key),
    )


def plots_of(found: Findings, key: str) -> tuple[Plot, ...]:
    """The plots that every study has; none without matplotlib. Their names begin with ``key``."""
    return tuple(_plots(found, relations(found), key)) if plots.available() else ()


def apart(sentence: str) -> tuple[str, str]:
    """A sentence of the answer, and what the page has in small print: what it says of single seeds, and of a mean that
    is not counted; "" if nothing."""
    start = found.start() if (found := SMALL.search(sentence)) else len(sentence)
    return sentence[:start].rstrip(), sentence[start:]


def render(parts: Sequence[StudyPart]) -> str:
    """The page as HTML; the template escapes every text."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader("twelve.study.report"), PackageLoader("twelve.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    own = (
        signed,
        significant,
        minus,
        short,
        titled,
        unlearned,
        clock,
        bounds,
        spread,
        with_sign,
        by_bootstrap_alone,
        apart,
        written,
        trunk_rates,
        meaning,
    )
    words = {each.__name__: each for each in own}
    html: str = environment.get_template("study.html").render(
        parts=parts, install=install("plots"), plots=plots, points=f"{100 * GAIN:g}", **words
    )
    return html


def html_of(section: str) -> str:
    """A section in Markdown as HTML: tags in it are shown as text, links and images are not followed, and tables can be
    scrolled. Negative numbers have the minus sign."""
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "link", "autolink"])
    opening = '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>'
    html: str = reader.render(minus(section))
    return html.replace("<table>", opening).replace("</table>", "</table></div>")


def _uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def _keys(places: Sequence[Path]) -> list[str]:
    """A name for each study's part of the page and its files: its folder's, with a number where two are equal."""
    names = [re.sub(r"[^A-Za-z0-9.-]+", "-", place.name).strip("-.") or "study" for place in places]
    return [
        name if names.count(name) == 1 else f"{name}-{names[: number + 1].count(name)}"
        for number, name in enumerate(names)
    ]


def _plots(found: Findings, known: Sequence[Relation], key: str) -> Iterator[Plot]:
    compared = [each for each in found.comparisons if len(each.cells) > 1]
    if known:
        words = (
            "What each group (column) gains when others (row) train with it: points of the official metric, mean over "
            f"its learned tasks, with 95% intervals; bold: neither interval contains 0; {ALONE}."
        )
        yield _plot(f"{key}-relations", words, partial(plots.matrix, found, known))
    elif found.comparisons and (len(found.comparisons) > plots.SHOWN or not compared):
        shown = found.comparisons[: plots.MOST_CONTRASTS]
        words = (
            "Contrasts, mean over all tasks and, where fewer are learned, over these, with 95% intervals"
            f"{_lines(found)}. Hollow: {UNCOUNTED}. {ALONE}."
        )
        yield _plot(f"{key}-contrasts", words, partial(plots.contrasts, shown))
    if compared and not known:
        words = (
            f"Differences in each task, in points of normalised score, with 95% intervals{_lines(found)}. Hollow, "
            f"neither gain nor loss: a task that is not learned, or {UNCOUNTED}. {ALONE}."
        )
        first = compared[: plots.SHOWN]
        yield _plot(f"{key}-tasks", words, partial(plots.tasks, found, first))
    alone = [each for each in found.comparisons if each.contrast.arm == found.arms[0].name]
    arms = _with_curves(found, alone if known else compared or found.comparisons)
    if arms:
        words = (
            "Validation scores while training: means over the seeds, as far as all of them trained; thin lines for "
            "each seed. Bars at the bottom: "
            "the schedule had stopped the task (first seed)."
        )
        recorded = sum(any(curve.points for curve in found.curves if curve.arm == arm.name) for arm in found.arms)
        if recorded > len(arms):
            words += f" Shown: {len(arms)} of {recorded} arms, those of the first differences."
        ranked = [short(found, name) for name, output in _outputs(found).items() if output.ranks_gallery]
        if ranked:
            words += (
                f" On {', '.join(ranked)}, validation is a choice among a few pairs, as in training; the test is not."
            )
        yield _plot(f"{key}-curves", words, partial(plots.curves, found, arms))


def _lines(found: Findings) -> str:
    """Which line of a plot is which interval; empty for one seed."""
    return f" ({INTERVALS})" * (len(found.seeds) > 1)


def _outputs(found: Findings) -> Mapping[str, Output]:
    """Task -> its output, for all tasks of a study."""
    known = all_tasks(own_tasks(found.plan.parsed().tasks))
    return {row.name: get_output(known[row.name].kind) for row in found.rows if row.name in known}


def _with_curves(found: Findings, compared: Sequence[Comparison]) -> list[str]:
    """Arms whose curves are shown: those of the first contrasts."""
    recorded = {curve.arm for curve in found.curves if curve.points}
    named = [name for each in compared for name in each.contrast.compared]
    order = dict.fromkeys([*named, *(arm.name for arm in found.arms)])
    return [name for name in order if name in recorded][: plots.MOST_ARMS]


def _plot(name: str, caption: str, draw: Callable[[], Any]) -> Plot:
    svg, pdf = plots.drawn(draw)
    return Plot(name, caption, svg, pdf)


def _trained(found: Findings) -> Iterator[Course]:
    for row in found.rows:
        for arm, score in row.scores.items():
            curves = [curve for curve in found.curves if (curve.arm, curve.task) == (arm, row.name)]
            stops = [
                ", ".join(f"{start:,} to {end:,}" for start, end in plots.stopped(curve)) or "never" for curve in curves
            ]
            parts = [" + ".join(f"{part:,}" for part in curve.parts) for curve in curves]
            if any(parts) or any(each is not None for each in score.converged):
                yield Course(arm, row.name, parts, _ends(score), stops)


def _ends(score: Score) -> list[str]:
    """How each seed's run ended; one that is level without having learned the task has not converged to anything."""
    level = "level" if score.learned else "level (not learned)"
    return [
        "unknown"
        if converged is None
        else level
        if converged
        else ("falling" if falls else "rising") + " (unclear)" * (gain is not None and not is_clear(gain))
        for converged, falls, gain in zip(score.converged, score.falling, score.late_gains, strict=True)
    ]
