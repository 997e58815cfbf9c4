"""Tokens and rendered prompts of an endpoint, which OpenAI's protocol does not have but most servers do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kobold_tui.domain.generation import Message, RenderedPrompt
from kobold_tui.engine.remote import words
from kobold_tui.engine.remote.body import chat_messages
from kobold_tui.engine.remote.host import RemoteHost


async def tokenize(
    host: RemoteHost, text: str, *, add_special: bool = False, parse_special: bool = False
) -> tuple[int, ...]:
    """Return token ids. Raises EngineError where the server has no way to tell them."""
    match host.flavour.tokenizer:
        case "llama-server":
            body: dict[str, Any] = {
                "content": text,
                "add_special": add_special,
                "parse_special": parse_special,
            }
            return _ids(host, await _ask(host, "/tokenize", body), "tokens")
        case "vllm":
            body = {"model": host.model, "prompt": text, "add_special_tokens": add_special}
            return _ids(host, await _ask(host, "/tokenize", body), "tokens")
        case "koboldcpp":
            body = {"prompt": text, "special": add_special}
            return _ids(host, await _ask(host, "/api/extra/tokencount", body), "ids")
    raise words.lacking(host.endpoint, "count tokens")


async def detokenize(host: RemoteHost, tokens: Sequence[int]) -> str:
    """Return the text of token ids. Raises EngineError where the server has no way to tell it."""
    key = {"llama-server": "content", "vllm": "prompt", "koboldcpp": "result"}.get(host.flavour.tokenizer)
    if key is None:
        raise words.lacking(host.endpoint, "turn tokens into text")
    ids = list(tokens)
    if host.flavour.tokenizer == "koboldcpp":
        answer = await _ask(host, "/api/extra/detokenize", {"ids": ids})
    else:
        answer = await _ask(host, "/detokenize", {"model": host.model, "tokens": ids})
    return _text(host, answer, key)


async def render(
    host: RemoteHost,
    messages: Sequence[Message],
    template_options: dict[str, bool | int | float | str] | None = None,
) -> RenderedPrompt:
    """Return the prompt of these messages, where it is a llama-server. Raises EngineError elsewhere."""
    if host.flavour.name != "llama-server":
        raise words.lacking(host.endpoint, "show the prompt as the model sees it")
    body = {"messages": chat_messages(messages), "chat_template_kwargs": dict(template_options or {})}
    text = _text(host, await _ask(host, "/apply-template", body), "prompt")
    return RenderedPrompt(text=text, tokens=await tokenize(host, text, add_special=True, parse_special=True))


async def _ask(host: RemoteHost, path: str, body: dict[str, Any]) -> Any:
    return await host.http.post(host.endpoint.root_url + path, body)


def _ids(host: RemoteHost, answer: Any, key: str) -> tuple[int, ...]:
    ids = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(ids, list) or not all(isinstance(token, int) for token in ids):
        raise words.nonsense(host.endpoint, "no token ids")
    return tuple(ids)


def _text(host: RemoteHost, answer: Any, key: str) -> str:
    text = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(text, str):
        raise words.nonsense(host.endpoint, "no text")
    return text
