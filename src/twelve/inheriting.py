"""What a configuration takes from the run that it continues from, and need not repeat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twelve.errors import ConfigError
from twelve.io.files import folder_beside, is_there
from twelve.io.yaml_text import read_text, read_yaml
from twelve.run_folder import RunFolder, of_run

TAKEN = (
    *("data", "regions", "sources", "hold_out", "validation_images", "val_fraction", "seed"),
    *("vocabulary", "optimizer", "evaluation"),
)
"""Keys that a configuration without ``data`` takes from the run that it continues from. With the same seed and
``val_fraction``, the same images are held back, so that scores before and after can be compared."""
ALL = "all"


def inherited(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration's tree, completed from the run that it continues from.

    - ``init`` stands for ``model.init``.
    - Without ``data``, the keys of :data:`TAKEN` and the settings of tasks come from that run, if the tree lacks them.
    - Tasks to replay are added to the tasks, with the settings that they had; ``replay: all`` adds all other tasks of
      the run.

    Raises:
        ConfigError: the run does not exist.
    """
    tree = dict(tree)
    model = tree.get("model") or {}
    if "init" in tree and isinstance(model, Mapping):
        tree["model"] = model = {**model, "init": tree.pop("init")}
    init = model.get("init") if isinstance(model, Mapping) else None
    if init is None:
        return tree
    tasks, replay = by_name(tree.get("tasks")), tree.get("replay")
    names = [replay] if isinstance(replay, str) else replay
    if not isinstance(names, list | tuple):
        names = []  # anything else is refused later, as other wrong types are
    joining = [name for name in names if name not in tasks] if isinstance(tasks, Mapping) else []
    if "data" in tree and not joining:
        return tree
    begun = _configuration(Path(str(init)))
    if "data" not in tree:
        tree |= {key: _over(begun.get(key), tree.get(key)) for key in TAKEN if key in begun or key in tree}
    if not isinstance(tasks, Mapping):
        return tree
    known = by_name(begun.get("tasks"))
    known = known if isinstance(known, Mapping) else {}
    if ALL in joining:
        joining = names = [name for name in known if name not in tasks]
    chosen = {**dict.fromkeys(joining), **tasks}
    tree["tasks"] = {name: _over(known.get(name), settings) for name, settings in chosen.items()}
    return tree | ({"replay": list(names)} if names else {})


def _over(below: Any, above: Any) -> Any:
    """``above``, merged over ``below`` where both are mappings."""
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        return {**below, **above}
    return below if above is None else above


def by_name(tasks: Any) -> Any:
    """A list of tasks as a mapping from names to None."""
    return dict.fromkeys(tasks) if isinstance(tasks, list | tuple) and all(isinstance(t, str) for t in tasks) else tasks


def _configuration(init: Path) -> dict[str, Any]:
    """The configuration of a run; ``init`` is its folder, or that of the model in it."""
    for folder in (init, init.parent):
        file = RunFolder(folder).config
        if not is_there(file, ConfigError):
            continue
        tree = read_yaml(read_text(file), file)
        if isinstance(tree, dict):
            return of_run(tree, file)
        raise ConfigError("must be a mapping of keys to values", file=file, remedy="copy the run again")
    raise ConfigError(
        "no run to go on from: no configuration here says what the model was trained on"
        if init.exists()
        else f"no such folder{folder_beside(init)}",
        file=init,
        record="model.init",
        remedy="name a run's folder (--set init=RUN), or set both data and replay (a list of tasks)",
    )
