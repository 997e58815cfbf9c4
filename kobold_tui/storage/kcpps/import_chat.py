"""Chat template, its variables and the length of answers of a document."""

from __future__ import annotations

from typing import Any

from kobold_tui.storage.kcpps.adapters import (
    GUESSED,
    Tags,
    builtin_template,
    jinja_template,
    stop_strings,
    tags_of,
)
from kobold_tui.storage.kcpps.import_model import put_file
from kobold_tui.storage.kcpps.import_sampling import read_requests, table_of
from kobold_tui.storage.kcpps.masking import is_secret_name
from kobold_tui.storage.kcpps.reading import Reading

DEFAULT_ANSWER = 1536
_EFFORTS = ("low", "medium", "high")
ADAPTER = "chatcompletionsadapter"


def read_answers(reading: Reading) -> None:
    """Take over the length of answers; a hard limit counts where it is the smaller one."""
    if reading.values.get("defaultgenamt") is not None:
        length = reading.integer("defaultgenamt")
        if length is not None:
            reading.put("defaultgenamt", "chat.max_tokens", length)
    else:
        reading.assume("defaultgenamt", "chat.max_tokens", DEFAULT_ANSWER)
    key = "genlimit" if "genlimit" in reading.values else "promptlimit"
    limit = reading.integer(key) or 0
    if 0 < limit < (reading.get("chat.max_tokens") or DEFAULT_ANSWER):
        reading.put(key, "chat.max_tokens", limit, "approximated", "A preset's length is a default.")
    for name in ("genlimit", "promptlimit"):
        reading.say(name, "ignored")


def read_template(reading: Reading) -> None:
    """Take over the template: a file beats the model's own, which beats an adapter."""
    file = reading.text("jinjatemplate")
    by_model = any([reading.flag("jinja"), reading.flag("jinja_tools"), bool(reading.text("jinja_kwargs"))])
    if file:
        put_file(reading, "jinjatemplate", "chat.template", file)
    if reading.flag("jinja"):
        reading.say("jinja", "mapped", "The model's own template.", "chat.template")
    if reading.flag("jinja_tools"):
        reading.say("jinja_tools", "approximated", "Tools always go through the template.", "chat.template")
    if file or by_model:
        reading.say(ADAPTER, "ignored", "Jinja is used instead.")
    else:
        _read_adapter(reading)


def _read_adapter(reading: Reading) -> None:
    value = reading.values.get(ADAPTER)
    if value is None or (isinstance(value, str) and value.strip().lower().removesuffix(".json") in GUESSED):
        reading.say(ADAPTER, "mapped", "The model's own template.", "chat.template")
    elif isinstance(value, list):
        reading.say(
            ADAPTER, "approximated", "A list to guess from: the model's own template.", "chat.template"
        )
    elif (tags := tags_of(value) or _tags_in_file(reading, value)) is not None:
        _take_tags(reading, tags)
    elif isinstance(value, str) and (name := builtin_template(value)) is not None:
        reading.put(ADAPTER, "chat.template", name)
    elif isinstance(value, str):
        note = "No such template here; the model's own is used."
        reading.say(ADAPTER, "unsupported", note, "chat.template")
    else:
        reading.refuse(ADAPTER, "It must be a name, a file, or an object with tags.")


def _tags_in_file(reading: Reading, value: Any) -> Tags | None:
    if not isinstance(value, str) or not value.strip().lower().endswith(".json"):
        return None
    content = reading.read_near(value.strip())
    return tags_of(content.decode("utf-8", "replace")) if content is not None else None


def _take_tags(reading: Reading, tags: Tags) -> None:
    reading.template = jinja_template(tags.texts)
    reading.set("chat.stop", stop_strings(tags.texts))
    reading.say(ADAPTER, "approximated", "Its tags become a template file and stop strings.", "chat.template")
    read_requests(reading, tags.others, ADAPTER)


def read_variables(reading: Reading) -> None:
    """Take over the variables of the template."""
    options = _variables(reading)
    _read_thinking(reading, options)
    _read_effort(reading, options)
    if options:
        reading.set("chat.template_options", options)


def _variables(reading: Reading) -> dict[str, bool | int | float | str]:
    key = "jinja_kwargs"
    value = reading.values.get(key)
    if value is None or value == "":
        return {}
    table = table_of(value)
    if table is None:
        reading.refuse(key, "It must be a JSON object.")
        return {}
    options: dict[str, bool | int | float | str] = {}
    for name, item in table.items():
        if is_secret_name(name) or reading.set("chat.template_options", {name: item}):
            reading.refuse(f"{key}.{name}", "A variable is a text, a number, true or false.", item)
        else:
            options[name] = item
    reading.say(key, "mapped" if len(options) == len(table) else "approximated", "", "chat.template_options")
    return options


def _read_thinking(reading: Reading, options: dict[str, bool | int | float | str]) -> None:
    key = "jinjathink"
    value = reading.values.get(key)
    word = f"{value}".lower() if isinstance(value, bool) else reading.text(key).lower()
    if word in {"true", "false"}:
        options["enable_thinking"] = word == "true"
        reading.say(key, "mapped", "As enable_thinking.", "chat.template_options")
    elif word in {"", "default"}:
        reading.say(key, "ignored")
    else:
        reading.refuse(key, "It must be default, true or false.")


def _read_effort(reading: Reading, options: dict[str, bool | int | float | str]) -> None:
    key = "reasoningeffort"
    effort = reading.text(key).lower()
    if effort in _EFFORTS:
        options["reasoning_effort"] = effort
        note = "Where the template knows reasoning_effort."
        reading.say(key, "approximated", note, "chat.template_options")
    elif effort == "none":
        options.setdefault("enable_thinking", False)
        note = "Where the template knows enable_thinking."
        reading.say(key, "approximated", note, "chat.template_options")
    elif effort in {"", "default"}:
        reading.say(key, "ignored")
    else:
        reading.refuse(key, "It must be default, none, low, medium or high.")
