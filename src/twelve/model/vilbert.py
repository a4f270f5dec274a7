"""The model as a transformers class, for its methods and Auto classes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, AutoProcessor, PreTrainedModel, initialization

from twelve.errors import found_in
from twelve.io.hub import HUB, HUB_NAME, resolve, upload
from twelve.model.config import TwelveConfig
from twelve.model.network import SAVED, STALE, Network, check_fit, refuse_differences
from twelve.model.pretraining import WordHead
from twelve.model.processor import TwelveProcessor
from twelve.model.tensors import read_weights, weights_of
from twelve.model.weights import check_finite
from twelve.outputs import check_kinds
from twelve.run_folder import saved_in

_SOURCE = "pretrained_model_name_or_path"


class Twelve(Network, PreTrainedModel):  # type: ignore[no-untyped-call, misc, unused-ignore]
    """The model: :class:`twelve.model.network.Network` with transformers' methods, such as ``save_pretrained``."""

    config: TwelveConfig
    config_class = TwelveConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["Block", "ImageLayer"]  # noqa: RUF012 (the library's own declaration is a list)

    def __init__(self, config: TwelveConfig) -> None:
        config.check()
        PreTrainedModel.__init__(self, config)
        self._build(config)
        self.post_init()  # type: ignore[no-untyped-call, unused-ignore]

    def _init_weights(self, module: nn.Module) -> None:
        # N(0, initializer_range), biases 0, LayerNorm 1 and 0
        super()._init_weights(module)  # type: ignore[no-untyped-call, unused-ignore]
        if isinstance(module, WordHead):
            initialization.zeros_(module.bias)

    def push_to_hub(  # type: ignore[override]
        self,
        repo_id: str,
        *,
        processor: TwelveProcessor | None = None,
        private: bool = False,
        commit_message: str = "A model of twelve",
        max_shard_size: str = "50GB",
    ) -> str:
        """Push the model to ``owner/model`` on the hub as one commit, and return its URL. Unlike transformers', it
        replaces no card: ``twelve push`` pushes a run with the card that its results make.

        Args:
            processor: pushed with it; :func:`twelve.load` needs one.
            private: of a new repository.

        Raises:
            CheckpointError: the hub cannot be reached, or refuses it.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, max_shard_size=max_shard_size)
            if processor is not None:
                processor.save_pretrained(folder)
            name = repo_id.removeprefix(HUB_NAME)
            return upload(Path(folder), name, private=private, message=commit_message, stale=STALE)

    @classmethod
    def from_pretrained(cls, *args: Any, config: Any = None, **kwargs: Any) -> Any:
        """As in transformers; also opens a run's folder, as :func:`twelve.load` does.

        The folder is not trusted: only its own config.json and safetensors files are read, and names, sizes and types
        of the weights are compared with the configuration before anything is built. Missing, unknown or non-finite
        weights are rejected.

        Raises:
            CheckpointError: weights do not match; the error names them.
            ConfigError: the configuration is invalid, or nothing has registered one of its outputs.
        """
        source = args[0] if args else kwargs.pop(_SOURCE, "")
        wanted = kwargs.pop("output_loading_info", False)
        hub = {key: kwargs.pop(key) for key in HUB if key in kwargs}
        folder = saved_in(resolve(source, *SAVED, **hub) / kwargs.pop("subfolder", ""))
        if config is None:
            check_kinds(folder)
            config, kwargs = TwelveConfig.from_pretrained(folder, return_unused_kwargs=True, **kwargs)
        weights = weights_of(folder)
        with found_in(folder / "config.json"), torch.device("meta"):
            check_fit(folder, cls(config), weights)  # before anything of that size is built
        state = read_weights(weights)
        check_finite(state, folder)
        # Given a state dict, the library opens no file, so nothing in the folder can make it fetch or run code.
        kwargs |= {"output_loading_info": True, "state_dict": state}
        loaded: Any = super().from_pretrained(None, *args[1:], config=config, **kwargs)
        model, info = loaded
        refuse_differences(folder, info["missing_keys"], info["unexpected_keys"], info["mismatched_keys"])
        model.config.name_or_path = model.name_or_path = str(source)
        return (model, info) if wanted else model


AutoModel.register(TwelveConfig, Twelve, exist_ok=True)
AutoProcessor.register(TwelveConfig, TwelveProcessor, exist_ok=True)  # type: ignore[no-untyped-call, unused-ignore]
