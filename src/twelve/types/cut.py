"""How many texts are longer than a model reads."""

from __future__ import annotations

from dataclasses import dataclass

LEAST, LEAST_OFFICIAL = 0.01, 0.05
"""Share of cut texts from which training, evaluation and the report say it: of a task of one's own, and of a dataset's,
whose limit is that of the original unless a configuration changes it."""
USUAL = 512
"""Most word pieces that are recommended for a new model, unless it reads more: those that BERT reads."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How many texts have more word pieces than a task keeps. All numbers of word pieces include [CLS] and [SEP].

    Attributes:
        texts: how many texts there are.
        cut: how many of them are longer than the limit.
        longest: word pieces of the longest.
        limit: the task's ``max_text``.
        same: whether all lose the same part and still differ from each text from which they differed: what is cut then
            decides nothing.
    """

    texts: int
    cut: int
    longest: int
    limit: int
    same: bool = False

    def matters(self, *, official: bool) -> bool:
        """Whether so many texts are cut that it may lower a score.

        Args:
            official: the texts are a dataset's.
        """
        return self.cut > 0 and not self.same and self.cut >= (LEAST_OFFICIAL if official else LEAST) * self.texts

    def sentence(self, texts: str = "texts") -> str:
        """How many are cut, and the longest one, in words; ``texts``: what they are, such as "training texts"."""
        return (
            f"{self.cut:,} of {self.texts:,} {texts} ({_per_cent(self.cut / self.texts)}) "
            f"{'is' if self.cut == 1 else 'are'} cut: the longest has {self.longest:,} word pieces with [CLS] and "
            f"[SEP], max_text is {self.limit:,}"
        )

    def told(self, task: str, positions: int, *, grows: bool, texts: str = "texts") -> str:
        """The sentence, and what to do about it, in words; the arguments are those of :meth:`settings` and
        :meth:`sentence`."""
        same = "the cut part does not distinguish any two texts"
        return f"{self.sentence(texts)}; {same if self.same else self.remedy(task, positions, grows=grows)}"

    def settings(self, task: str, positions: int, *, grows: bool) -> list[str]:
        """The settings with which a model reads the whole texts, or as much of them as it can; none if it does.

        Args:
            task: name of the task.
            positions: word pieces that the model reads, at most (``max_position_embeddings``).
            grows: a new model with random text layers would be trained, which can have more positions.
        """
        most = min(self.longest, max(positions, USUAL) if grows else positions)
        if most <= self.limit:
            return []
        more = [f"model.architecture.max_position_embeddings={most}"] if most > positions else []
        return [f"tasks.{task}.max_text={most}", *more]

    def remedy(self, task: str, positions: int, *, grows: bool) -> str:
        """What to do about it, in words; the arguments are those of :meth:`settings`."""
        if not (settings := self.settings(task, positions, grows=grows)):
            return f"shorten them, since the model reads at most {positions:,}"
        most = int(settings[0].rpartition("=")[2])
        words = " ".join(f"--set {setting}" for setting in settings)
        if most == self.longest:
            return f"to read them whole, train with {words}"
        return f"train with {words}, the most that the model reads, and shorten longer texts"


def _per_cent(share: float) -> str:
    if 0 < share < 0.0005:
        return "less than 0.1%"
    return f"{share:.0%}" if share >= 0.1 or not share else f"{share:.1%}"
