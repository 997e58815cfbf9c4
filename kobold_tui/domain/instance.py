"""A loaded model seen from outside: its name, what it was asked to load, and the state it is in.

States have one writer, the engine; everyone else reads frozen values.
"""

from __future__ import annotations

from typing import Literal, NewType

import msgspec

from kobold_tui.domain.endpoint import Endpoint
from kobold_tui.domain.errors import Failure
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import MemoryEstimate

InstanceId = NewType("InstanceId", str)
"""Name of an instance, unique while the program runs; also the label of its memory in the gauge."""

LoadPhase = Literal["starting", "weights", "context", "template", "warmup"]


class LoadSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What to load: the first file of the model and the options; `template` is as in a preset's `[chat]`.

    With an `endpoint` there is nothing to load: `path` is then the name to show. After
    `idle_unload_seconds` without a request the model is parked; 0 is never, None is as the settings say.
    `card_limit_bytes` is the most that it may take on each card, None as much as there is, `reserve_bytes`
    what layers that are left to `auto` leave free on each. A pinned model makes way for none.
    """

    path: str
    options: LoadOptions = LoadOptions()
    embedding: bool = False
    template: str = "auto"
    endpoint: Endpoint | None = None
    idle_unload_seconds: float | None = None
    card_limit_bytes: int | None = None
    reserve_bytes: int = 512 * 1024 * 1024
    is_pinned: bool = False


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker knows once the model is loaded; `n_gpu_layers` is what was really offloaded."""

    name: str
    architecture: str
    description: str
    n_parameters: int
    size_bytes: int
    n_ctx: int
    n_ctx_train: int
    n_embd: int
    n_vocab: int
    n_layer: int
    n_gpu_layers: int
    n_seq_max: int
    n_threads: int
    has_chat_template: bool
    has_encoder_only: bool
    pooling: str
    can_shift: bool
    gpu_offload_supported: bool
    devices: tuple[str, ...]
    seconds_to_load: float
    llama_cpp_version: str


class Stopped(msgspec.Struct, frozen=True, tag=True):
    """No process runs."""


class Starting(msgspec.Struct, frozen=True, tag=True):
    """The worker process is being started."""


class Loading(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The worker loads; `fraction` runs from 0 to 1 where it means something and is None elsewhere."""

    phase: LoadPhase
    fraction: float | None = None


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The model answers requests."""

    info: ModelInfo


class Stopping(msgspec.Struct, frozen=True, tag=True):
    """The worker was told to end."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The process ended or the load was refused; `failure` says why, in words."""

    failure: Failure


InstanceState = Stopped | Starting | Loading | Ready | Stopping | Failed


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """An instance as lists show it; `pid` is None while no process runs.

    `active` requests run now; `tokens_served` counts since it was first loaded. Times are seconds since
    1970. A parked instance holds no memory and comes back when it is asked something; a pinned one is
    neither parked nor proposed to make room. `estimate` is the memory that was predicted for it. `placed` are
    the options that it was loaded with, where the program has decided what `spec` leaves open.
    """

    id: InstanceId
    spec: LoadSpec
    state: InstanceState
    pid: int | None = None
    active: int = 0
    tokens_served: int = 0
    last_used: float | None = None
    loaded_at: float | None = None
    is_pinned: bool = False
    is_parked: bool = False
    estimate: MemoryEstimate | None = None
    placed: LoadOptions | None = None
