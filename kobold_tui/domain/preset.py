"""A preset: everything needed to run one model, as a person writes it in TOML.

A preset that names neither a model nor an endpoint is a recipe: it says how to load, and goes with any model.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from kobold_tui.domain.endpoint import Endpoint
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.sampling import SamplingOptions

PresetKind = Literal["chat", "base", "embedding", "reranker"]


class ChatOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a conversation with the model begins and ends."""

    system_prompt: Annotated[
        str, Meta(title="System prompt", description="Said before every conversation.")
    ] = ""
    template: Annotated[
        str, Meta(title="Template", description="auto: from the GGUF; else a built-in name or a .jinja file.")
    ] = "auto"
    template_options: Annotated[
        dict[str, bool | int | float | str],
        Meta(title="Template options", description="Variables such as enable_thinking."),
    ] = {}
    max_tokens: Annotated[
        int,
        Meta(ge=1, title="Answer length", description="Most tokens of one answer.", extra={"unit": "tokens"}),
    ] = 2048
    stop: Annotated[
        tuple[str, ...], Meta(title="Stop strings", description="An answer ends before any of these.")
    ] = ()


class MemoryOptions(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What a placement must leave free, and for how long memory is held."""

    reserve_bytes: Annotated[
        int,
        Meta(ge=0, title="Reserve", description="VRAM to leave free on every GPU.", extra={"unit": "bytes"}),
    ] = 512 * 1024 * 1024
    card_limit_bytes: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(
            title="Limit",
            description="Most VRAM that this model may take on each GPU; none is as much as there is.",
            extra={"unit": "bytes"},
        ),
    ] = None
    pinned: Annotated[
        bool,
        Meta(title="Pinned", description="Never give its memory back for others or for want of use."),
    ] = False
    idle_unload_seconds: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(
            title="Idle unload",
            description="Give memory back after this time unasked; 0 is never, none as the settings say.",
            extra={"unit": "s"},
        ),
    ] = None


class Preset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A model with all its settings; what is left out has the default."""

    name: Annotated[
        str, Meta(min_length=1, max_length=200, title="Name", description="How the preset is listed.")
    ]
    description: Annotated[str, Meta(title="Description", description="One line on what it is for.")] = ""
    extends: Annotated[
        str, Meta(title="Extends", description="Name of the preset that this one adds to.")
    ] = ""
    model: Annotated[
        str, Meta(title="Model", description="Path of the GGUF file; ~ is the home directory.")
    ] = ""
    endpoint: Annotated[
        str,
        Meta(
            title="Endpoint",
            description="Address of a server in place of a model file, such as http://host:8000/v1.",
        ),
    ] = ""
    endpoint_model: Annotated[
        str, Meta(title="Model there", description="Name of the model on that server; empty is its only one.")
    ] = ""
    api_key_env: Annotated[
        str,
        Meta(
            title="Key variable",
            description="Environment variable that holds the server's key; never the key itself.",
        ),
    ] = ""
    kind: Annotated[PresetKind, Meta(title="Kind", description="What the model is used for.")] = "chat"
    load: LoadOptions = LoadOptions()
    sampling: SamplingOptions = SamplingOptions()
    chat: ChatOptions = ChatOptions()
    memory: MemoryOptions = MemoryOptions()

    @property
    def remote(self) -> Endpoint | None:
        """The server that runs the model, None where it is loaded here."""
        if not self.endpoint:
            return None
        return Endpoint(url=self.endpoint, model=self.endpoint_model, api_key_env=self.api_key_env)

    @property
    def is_recipe(self) -> bool:
        """Whether it goes with any model, because it names none."""
        return not self.model and not self.endpoint
