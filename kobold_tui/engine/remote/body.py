"""What is asked of an endpoint, as JSON documents."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import msgspec

from kobold_tui.domain.endpoint import Endpoint
from kobold_tui.domain.generation import GenerateRequest, Message
from kobold_tui.engine.remote import words
from kobold_tui.engine.remote.flavours import Flavour, sampling_body

_IMAGE_TYPES = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
)


def generate_body(
    endpoint: Endpoint, flavour: Flavour, model: str, request: GenerateRequest
) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """Return the path, the document, and the names of options that this server cannot be told.

    Raises EngineError for what it cannot do at all.
    """
    body: dict[str, Any] = {
        "model": model,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": request.max_tokens,
    }
    sampling, lost = sampling_body(flavour, request.sampling)
    body |= sampling
    if request.stop:
        body["stop"] = list(request.stop)
    if request.prompt is not None:
        return "/completions", body | _completion(request), (*lost, *_lost(request, flavour))
    body |= _chat(endpoint, flavour, request)
    return "/chat/completions", body, (*lost, *_lost(request, flavour))


def chat_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return turns in OpenAI's form; images become data URLs behind the text."""
    return [{"role": message.role, "content": _content(message)} for message in messages]


def adapted(body: dict[str, Any], complaint: str) -> dict[str, Any] | None:
    """Return the document without what a server complains about by name; None where nothing is to be done.

    Newer models of OpenAI's own want another name for the length, older servers know no stream options.
    """
    if "max_completion_tokens" in complaint and "max_tokens" in body:
        return {key: value for key, value in body.items() if key != "max_tokens"} | {
            "max_completion_tokens": body["max_tokens"]
        }
    if "stream_options" in complaint and "stream_options" in body:
        return {key: value for key, value in body.items() if key != "stream_options"}
    return None


def _completion(request: GenerateRequest) -> dict[str, Any]:
    body: dict[str, Any] = {"prompt": (request.prompt or "") + request.prefill}
    if request.logprobs:
        body["logprobs"] = request.logprobs
    return body


def _chat(endpoint: Endpoint, flavour: Flavour, request: GenerateRequest) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": chat_messages(request.messages)}
    if request.tools_json:
        body["tools"] = msgspec.json.decode(request.tools_json)
    if request.template_options and flavour.has_template_options:
        body["chat_template_kwargs"] = dict(request.template_options)
    if request.logprobs:
        body |= {"logprobs": True, "top_logprobs": request.logprobs}
    if request.prefill:
        body["messages"].append({"role": "assistant", "content": request.prefill})
        body |= _prefill(endpoint, flavour)
    return body


def _prefill(endpoint: Endpoint, flavour: Flavour) -> dict[str, Any]:
    match flavour.prefill:
        case "last message":
            return {}
        case "vllm":
            return {"continue_final_message": True, "add_generation_prompt": False}
        case "koboldcpp":
            return {"continue_assistant_turn": True}
    raise words.lacking(endpoint, "begin an answer with given words")


def _lost(request: GenerateRequest, flavour: Flavour) -> tuple[str, ...]:
    lost = []
    if request.ignore_eos:
        lost.append("ignore_eos")
    if request.reasoning_budget is not None:
        lost.append("reasoning_budget")
    if request.template_options and not flavour.has_template_options:
        lost.append("template_options")
    return tuple(lost)


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not message.images:
        return message.content
    images = [{"type": "image_url", "image_url": {"url": _data_url(image)}} for image in message.images]
    return [{"type": "text", "text": message.content}, *images]


def _data_url(image: bytes) -> str:
    kind = next((kind for mark, kind in _IMAGE_TYPES if image.startswith(mark)), "application/octet-stream")
    return f"data:{kind};base64,{base64.b64encode(image).decode()}"
