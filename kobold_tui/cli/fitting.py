"""The work of `fit`: settle the options, place the model, confirm it where that is asked for, and print."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import msgspec

from kobold_tui.cli.chatting import changed
from kobold_tui.cli.fit_figures import document, lines
from kobold_tui.cli.output import StatusLine, print_json, printable, screen_width
from kobold_tui.domain.errors import UsageError
from kobold_tui.domain.memory import Device
from kobold_tui.domain.units import parse_bytes
from kobold_tui.services.tuning_model import hardware_from_text, limited
from kobold_tui.services.tuning_plan import Wish, exact_plan, predicted_plan

if TYPE_CHECKING:
    from kobold_tui.services.launch import Launch
    from kobold_tui.services.registry import Services

_FLASH: dict[str, bool | str] = {"on": True, "off": False, "auto": "auto"}


async def fit(arguments: argparse.Namespace, services: Services) -> int:
    """Say what loading would take; returns the exit status."""
    changes = read_changes(arguments)
    hardware_from_text(arguments.free or "none")  # wrong usage is said before anything is read
    reserve = None if arguments.reserve is None else parse_bytes(arguments.reserve)
    launch = await services.launch.resolve(arguments.reference)
    if launch.spec.endpoint is not None:
        host = launch.spec.endpoint.host
        raise UsageError("Runs elsewhere", f"{launch.preset.name} is run by {host}.", "Name a model file.")
    options = changed(launch.preset.load, changes)
    model = await services.tuning.prepare(msgspec.structs.replace(launch.spec, options=options))
    if arguments.n_gpu_layers == "all" or (arguments.n_ctx == "max" and options.n_gpu_layers == "auto"):
        options = msgspec.structs.replace(options, n_gpu_layers=model.shape.n_units)
    devices = await _devices(services, launch, reserve, arguments.free)
    wish: Wish = "given"
    if arguments.n_ctx == "max":
        wish = "largest"
    elif options.n_gpu_layers == "auto" and not options.is_cpu_only:
        wish = "best"
    if arguments.exact:
        status = StatusLine()
        status.show("dry run …")
        try:
            found = await exact_plan(
                services.tuning, model, options, devices, wish, are_real=arguments.free is None
            )
        finally:
            status.clear()
    else:
        found = predicted_plan(model, options, devices, wish)
    if arguments.json:
        print_json(document(launch.model.path, model.shape, found))
    else:
        for line in lines(launch.model.name, model.shape, found, screen_width()):
            print(printable(line))
    return 0


async def _devices(
    services: Services, launch: Launch, reserve: int | None, free: str | None
) -> tuple[Device, ...]:
    """Return what there is, or what is planned for, with the reserve and the limit of the preset."""
    memory = launch.preset.memory
    reserve = memory.reserve_bytes if reserve is None else reserve
    devices = await services.tuning.devices(reserve_bytes=reserve)
    if free is not None:
        host = next(device for device in devices if device.is_host)
        devices = hardware_from_text(free, host, reserve_bytes=reserve)
    return limited(devices, memory.card_limit_bytes)


def read_changes(arguments: argparse.Namespace) -> dict[str, object]:
    """Return what the command line says in place of the preset. Raises UsageError."""
    layers, context = arguments.n_gpu_layers, arguments.n_ctx
    return {
        "n_gpu_layers": _number("--n-gpu-layers", layers, ("all", "auto")),
        "n_ctx": _number("--n-ctx", context, ("max", "auto")),
        "type_k": arguments.type_k,
        "type_v": arguments.type_v,
        "flash_attn": None if arguments.flash_attn is None else _FLASH[arguments.flash_attn],
        "n_batch": arguments.n_batch,
        "n_ubatch": arguments.n_ubatch,
        "n_cpu_moe": arguments.n_cpu_moe,
        "tensor_split": _shares(arguments.tensor_split),
    }


def _number(option: str, text: str | None, words: tuple[str, str]) -> int | str | None:
    """Return a number, or `auto`; the first of the words is decided later and stands for it until then."""
    if text is None or text == words[0]:
        return None if text is None else "auto"
    if text == words[1]:
        return text
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise UsageError(
            "Wrong usage", f"{option} {text}: not a number.", f"Give a number, {words[0]} or {words[1]}."
        )
    return int(text)


def _shares(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        shares = [float(word) for word in text.split(",")]
    except ValueError:
        shares = []
    if not shares or not all(0 <= share < 1e9 for share in shares) or not any(shares):
        raise UsageError("Wrong usage", f"--tensor-split {text}: no list of shares.", "Such as 3,1.")
    return shares
