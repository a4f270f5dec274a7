"""Loads the released weights under the original program's names; anything that does not fit is an error.

Besides the plain state dict, these are understood: the prefix ``module.``, a training checkpoint with the model in it,
the attribute head (unused), and files converted from Caffe2, whose names are endings of the usual ones and whose batch
norms have no statistics.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from twelve.errors import RegionError
from twelve.progress import counted
from twelve.regions.detectors import weights as weight_files
from twelve.regions.detectors.x152.anchors import cell_anchors
from twelve.regions.detectors.x152.invented_weights import SALT, invented
from twelve.regions.detectors.x152.network import X152Network
from twelve.regions.detectors.x152.sizes import STRIDES

ANCHORS = "rpn.anchor_generator.cell_anchors."
"""Prefix of the anchors of each level, which follow from the configuration."""

_UNUSED = re.compile(
    r"roi_heads\.box\.predictor\.(bbox_pred|attr_linear1|attr_linear2)\.(weight|bias)"
    r"|roi_heads\.box\.predictor\.cls_embed\.weight"
)
"""The refinement of classified boxes and the attribute head, neither of which is used."""

_MOVES = tuple(f"roi_heads.box.predictor.bbox_pred.{leaf}" for leaf in ("weight", "bias"))
_STATISTICS = {"running_mean": torch.zeros, "running_var": torch.ones}
_REMEDY = "give the weights of the network asked for: detectron_model.pth, or a file of the same names"


def original_name(name: str) -> str:
    """The original program's name of one of the network's tensors."""
    for pattern, original in (
        (r"body\.(conv1|bn1)\.", r"backbone.body.stem.\1."),
        (r"body\.", "backbone.body."),
        (r"rpn_head\.", "rpn.head."),
        (r"fc(6|7)\.", r"roi_heads.box.feature_extractor.fc\1."),
        (r"cls_score\.", "roi_heads.box.predictor.cls_score."),
    ):
        if re.match(pattern, name):
            return re.sub(f"^{pattern}", original, name)
    part = re.fullmatch(r"fpn\.(inner|layer)_blocks\.(\d)\.0\.(\w+)", name)
    assert part is not None, name
    return f"backbone.fpn.fpn_{part[1]}{int(part[2]) + 1}.{part[3]}"


def load(network: X152Network, weights: str | Path) -> None:
    """Load weights into a network whose batch norms are not folded. Its tensors are replaced, not filled.

    Args:
        weights: see :func:`twelve.regions.detectors.x152.build`.

    Raises:
        ConfigError: there is no such package of weights.
        RegionError: the file is missing or damaged; a tensor is missing, unknown, of another shape or not finite; or
            the anchors differ from the configuration's.
    """
    if str(weights) == "random":
        return invent(network)
    path = weight_files.resolve(str(weights))
    network.load_state_dict(fitted(weight_files.read(path), shapes_of(network), path), assign=True)


def invent(network: X152Network, salt: str = SALT) -> None:
    """Load invented weights into a network whose batch norms are not folded; see :mod:`.invented_weights`."""
    state = {name: invented(original_name(name), shape, salt) for name, shape in shapes_of(network).items()}
    network.load_state_dict(state, assign=True)


def shapes_of(network: X152Network) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a network, by the network's names."""
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def fitted(found: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], file: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint under the network's names.

    Args:
        found: tensors by the original program's names, without ``module.``.
        shapes: of the network's tensors, by the network's names.

    Raises:
        RegionError: see :func:`load`.
    """
    wanted = {original_name(name): name for name in shapes}
    known = {key: value for key, value in found.items() if not _UNUSED.fullmatch(key)}
    anchors = {key: known.pop(key) for key in list(known) if key.startswith(ANCHORS)}
    converted = not any(key.startswith("backbone.") for key in known)
    if converted:
        known = _by_ending(known, [*wanted, *_MOVES])
        known = {key: value for key, value in known.items() if key not in _MOVES}
        if not any(key.endswith(tuple(_STATISTICS)) for key in known):
            known |= {
                key: _statistic(key, shapes[name]) for key, name in wanted.items() if key.endswith(tuple(_STATISTICS))
            }
    _same_anchors(anchors, file, required=not converted)
    _refuse("missing", [key for key in wanted if key not in known], file)
    _refuse("unknown to the network", [key for key in known if key not in wanted], file)
    wrong = [
        f"{key} ({_shape(known[key].shape)}, not {_shape(shapes[name])})"
        for key, name in wanted.items()
        if tuple(known[key].shape) != shapes[name]
    ]
    _refuse("of another shape", wrong, file)
    odd = [key for key in wanted if not known[key].is_floating_point() or not bool(known[key].isfinite().all())]
    _refuse("not finite numbers", odd, file)
    return {name: known[key].float().contiguous() for key, name in wanted.items()}


def _by_ending(found: Mapping[str, Tensor], wanted: Sequence[str]) -> dict[str, Tensor]:
    """Rename tensors: each wanted name takes the longest found name that it ends in. A found name that several wanted
    names end in goes to the shortest of these; one that none ends in keeps its name."""
    taken: dict[str, str] = {}
    for want in sorted(wanted, key=len):
        parts = want.split(".")
        endings = (".".join(parts[start:]) for start in range(len(parts)))
        ending = next((each for each in endings if each in found), None)
        if ending is not None:
            taken.setdefault(ending, want)
    return {taken.get(key, key): value for key, value in found.items()}


def _statistic(key: str, shape: Sequence[int]) -> Tensor:
    return _STATISTICS[key.rpartition(".")[2]](shape)


def _same_anchors(anchors: Mapping[str, Tensor], file: Path, *, required: bool) -> None:
    """Refuse a checkpoint with anchors other than the network's."""
    expected = {f"{ANCHORS}{level}": cell_anchors(level) for level in range(len(STRIDES))}
    if required:
        _refuse("missing", [key for key in expected if key not in anchors], file)
    _refuse("unknown to the network", [key for key in anchors if key not in expected], file)
    other = [key for key, value in anchors.items() if not torch.equal(value.float(), expected[key])]
    _refuse("other anchors than this network's", other, file)


def _refuse(problem: str, keys: Sequence[str], file: Path) -> None:
    if keys:
        more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
        counts = counted(len(keys), "tensor", "are")
        raise RegionError(f"{counts} {problem}: {', '.join(keys[:3])}{more}", file=file, remedy=_REMEDY)


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
