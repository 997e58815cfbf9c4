"""Chat templates: which one a model uses, and rendering it in the template process.

The process is started while the weights load, is ended when it takes too long, and is started again when it
is needed next; whatever a template does costs an error message and never the loaded model.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.generation import Message
from kobold_tui.engine.worker.builtin_templates import BUILTIN_TEMPLATES, BuiltinTemplate

TIMEOUT_SECONDS = 8.0
_COMMAND = (sys.executable, "-P", "-m", "kobold_tui.engine.worker.template_process")
_CHUNK_BYTES = 65_536
_FOR_TOOLS = "tool_use"
_NAMES = ", ".join(BUILTIN_TEMPLATES)
_HINT = f"Choose another template ({_NAMES} or a .jinja file), or send the text as it is with --raw."
Variables = dict[str, bool | int | float | str]


class ChatTemplate(msgspec.Struct, frozen=True):
    """A template; `origin` names it in error messages."""

    source: str
    origin: str
    stop: tuple[str, ...] = ()


def resolve(name: str, in_file: Mapping[str, str], model: str, *, tools: bool = False) -> ChatTemplate | None:
    """Return the template called `name`; None without any.

    A name is "auto", one of the model's own templates, a built-in one or the path of a .jinja file. Auto is
    the model's usual template, and its template for tools where `tools` are given and it has one.
    Raises EngineError for a name that is none of these or a file that cannot be read.
    """
    if name == "auto":
        name = _FOR_TOOLS if tools and _FOR_TOOLS in in_file else ""
        return ChatTemplate(in_file[name], _origin(name, model)) if name in in_file else None
    if name in in_file:
        return ChatTemplate(in_file[name], _origin(name, model))
    builtin: BuiltinTemplate | None = BUILTIN_TEMPLATES.get(name)
    if builtin is not None:
        return ChatTemplate(builtin.source, f"the template {name}", builtin.stop)
    path = Path(name).expanduser()
    try:
        return ChatTemplate(path.read_text(encoding="utf-8"), f"the template {path.name}")
    except (OSError, UnicodeDecodeError) as error:
        raise EngineError(
            "Unknown template",
            f"{name} is neither the name of a template nor a file that can be read.",
            f"Names: {', '.join(['auto', *filter(None, in_file)])}, {_NAMES}; or the path of a .jinja file.",
        ) from error


def _origin(name: str, model: str) -> str:
    return f"the template {name} in {model}" if name else f"the template in {model}"


def missing(model: str) -> EngineError:
    """Return the error for a chat with a model that has no template."""
    return EngineError("No chat template", f"{model} has no chat template in its file.", _HINT)


class TemplateRenderer:
    """Owns the template process; `render` starts it again where it had to be ended."""

    def __init__(self, command: Sequence[str] = _COMMAND, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._command = tuple(command)
        self._timeout = timeout_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process unless it runs, without waiting for it."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )

    def render(
        self,
        template: ChatTemplate,
        messages: Sequence[Message],
        variables: Variables,
        tools_json: str = "",
    ) -> str:
        """Return the prompt. Raises EngineError with the template's own words when it refuses.

        `tools_json` is a JSON list of tools; a template that never mentions tools is an error then.
        """
        if tools_json and "tools" not in template.source:
            raise EngineError(
                "Template without tools",
                f"Tools were given, and {template.origin} takes none.",
                "Send the request without tools, or choose a model or template that knows them.",
            )
        request = {
            "tools": tools_json,
            "template": template.source,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "variables": {"add_generation_prompt": True, **variables},
        }
        reply = self._exchange(json.dumps(request).encode() + b"\n")
        if reply is None:
            raise EngineError(
                "Chat template ended",
                f"Rendering with {template.origin} took over {self._timeout:g} seconds or too much memory.",
                _HINT,
            )
        if "text" not in reply:
            raise EngineError(
                "Chat template failed",
                f"The conversation cannot be rendered with {template.origin}: {reply.get('error', '')}.",
                _HINT,
            )
        return reply["text"]

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()

    def _exchange(self, request: bytes) -> dict[str, str] | None:
        """Send one line and return the reply, None when the process was ended instead."""
        self.start()
        line = self._talk(request, time.monotonic() + self._timeout)
        try:
            reply = msgspec.json.decode(line, type=dict[str, str]) if line else None
        except msgspec.DecodeError:
            reply = None
        if reply is None:
            self.close()
        return reply

    def _talk(self, request: bytes, deadline: float) -> bytes:
        """Write `request` and read one line, neither blocking past the deadline; empty on failure."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            return b""
        source, sink = process.stdout.fileno(), process.stdin.fileno()
        os.set_blocking(source, False)
        os.set_blocking(sink, False)
        reply = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(source, selectors.EVENT_READ)
            selector.register(sink, selectors.EVENT_WRITE)
            while not reply.endswith(b"\n"):
                ready = selector.select(deadline - time.monotonic())
                if not ready and time.monotonic() >= deadline:
                    return b""
                for key, _ in ready:
                    if key.fd == sink:
                        request = _write_some(sink, request)
                        if not request:
                            selector.unregister(sink)
                    elif not _read_some(source, reply):
                        return b""
        return bytes(reply)


def _write_some(sink: int, data: bytes) -> bytes:
    """Write what fits and return the rest; nothing is left where nobody reads any more."""
    try:
        return data[os.write(sink, data[:_CHUNK_BYTES]) :]
    except BlockingIOError:
        return data
    except OSError:
        return b""


def _read_some(source: int, buffer: bytearray) -> bool:
    """Append what is there; false at the end."""
    try:
        chunk = os.read(source, _CHUNK_BYTES)
    except BlockingIOError:
        return True
    except OSError:
        return False
    buffer += chunk
    return bool(chunk)
