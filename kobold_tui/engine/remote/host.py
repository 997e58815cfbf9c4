"""An endpoint as what holds a model: found, asked what it has, and let go again."""

from __future__ import annotations

import time
from typing import Any

from kobold_tui.domain.endpoint import Endpoint, check_endpoint
from kobold_tui.domain.errors import EngineError, Failure
from kobold_tui.domain.instance import LoadSpec, ModelInfo
from kobold_tui.engine.lifecycle import Report
from kobold_tui.engine.remote import words
from kobold_tui.engine.remote.flavours import OPENAI, Flavour, flavour_of
from kobold_tui.engine.remote.http import Http

FIND_SECONDS = 30.0


class RemoteHost:
    """The connections to one endpoint while it is in use; `model` and `flavour` hold once it is loaded."""

    def __init__(self, endpoint: Endpoint, http: Http) -> None:
        self.endpoint = endpoint
        self.http = http
        self.model = ""
        self.flavour: Flavour = OPENAI
        self.failure: Failure | None = None
        self.notes_told: set[str] = set()

    async def start(self) -> None:
        """Check the address. Raises EngineError."""
        try:
            check_endpoint(self.endpoint)
        except Exception as error:
            raise EngineError("Not an endpoint", str(error)) from error

    async def load(self, spec: LoadSpec, report: Report) -> ModelInfo:  # noqa: ARG002 - it takes one moment
        """Ask which models there are, and choose ours. Raises EngineError."""
        begun = time.monotonic()
        answer = await self.http.get(f"{self.endpoint.base_url}/models", seconds=FIND_SECONDS)
        models = _models(answer)
        if models is None:
            raise words.nonsense(self.endpoint, "no list of models")
        chosen = _choose(self.endpoint, models)
        self.model, self.flavour = chosen["id"], flavour_of(chosen)
        n_ctx = _context(chosen) or await self._asked_context()
        return _info(chosen, self.flavour, n_ctx, time.monotonic() - begun)

    async def end(self) -> Failure | None:
        """Close the connections."""
        self.failure = self.failure or Failure(
            title="The endpoint was let go", message=f"{self.endpoint.host} is not in use any more."
        )
        await self.http.close()
        return None

    async def _asked_context(self) -> int:
        """Return the context length where the server has a place of its own for it, else 0."""
        path, key = {
            "llama-server": ("/props", "n_ctx"),
            "KoboldCpp": ("/api/extra/true_max_context_length", "value"),
        }.get(self.flavour.name, ("", ""))
        if not path:
            return 0
        try:
            answer = await self.http.get(self.endpoint.root_url + path, seconds=FIND_SECONDS)
        except EngineError:
            return 0
        settings = answer.get("default_generation_settings", answer) if isinstance(answer, dict) else {}
        return _count(settings.get(key)) if isinstance(settings, dict) else 0


def _models(answer: Any) -> list[dict[str, Any]] | None:
    rows = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        return None
    return [row for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]


def _choose(endpoint: Endpoint, models: list[dict[str, Any]]) -> dict[str, Any]:
    names = [model["id"] for model in models]
    if endpoint.model in names:
        return models[names.index(endpoint.model)]
    if not endpoint.model and len(models) == 1:
        return models[0]
    raise words.which_model(endpoint, names)


def _context(model: dict[str, Any]) -> int:
    meta = model.get("meta") if isinstance(model.get("meta"), dict) else {}
    return _count(model.get("max_model_len")) or _count((meta or {}).get("n_ctx"))


def _info(model: dict[str, Any], flavour: Flavour, n_ctx: int, seconds: float) -> ModelInfo:
    """Return what is known of a model elsewhere; 0 and empty words stand for what its server does not say."""
    meta = model.get("meta") if isinstance(model.get("meta"), dict) else {}
    known = {
        key: _count((meta or {}).get(key)) for key in ("n_params", "size", "n_ctx_train", "n_embd", "n_vocab")
    }
    return ModelInfo(
        name=model["id"],
        architecture="",
        description=f"{model['id']} on {flavour.name}",
        n_parameters=known["n_params"],
        size_bytes=known["size"],
        n_ctx=n_ctx,
        n_ctx_train=known["n_ctx_train"],
        n_embd=known["n_embd"],
        n_vocab=known["n_vocab"],
        n_layer=0,
        n_gpu_layers=0,
        n_seq_max=0,
        n_threads=0,
        has_chat_template=True,
        has_encoder_only=False,
        pooling="",
        can_shift=False,
        gpu_offload_supported=False,
        devices=(),
        seconds_to_load=seconds,
        llama_cpp_version="",
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62 else 0


def spec_endpoint(spec: LoadSpec) -> Endpoint:
    """Return where a spec points. Raises EngineError for one of a model file."""
    if spec.endpoint is None:
        raise EngineError("No endpoint", f"{spec.path} is a model file, not an endpoint.")
    return spec.endpoint
