"""What the first row says about the model and the memory; pure functions from values to coloured text."""

from __future__ import annotations

from kobold_tui.domain.gpu import GpuSnapshot
from kobold_tui.domain.instance import Failed, Instance, InstanceState, Loading, Ready, Starting, Stopping
from kobold_tui.domain.units import format_gib, format_tokens
from kobold_tui.services.launch import Launch
from kobold_tui.services.telemetry import Reading
from kobold_tui.tui.widgets.status_line import Part

MOST_CARDS = 4
"""Cards that are told one by one."""

PHASES = {
    "starting": "starting",
    "weights": "reading weights",
    "context": "making room for the context",
    "template": "reading the template",
    "warmup": "warming up",
}


def model_parts(
    instance: Instance | None, launch: Launch | None, coming: Instance | None = None, *, demo: bool = False
) -> tuple[Part, ...]:
    """Return the left half: the program's name, the model and its state, and what is about to replace it.

    A demonstration says so, because nothing in it is real.
    """
    brand: tuple[Part, ...] = ((" kobold-tui  ", "status--brand"),)
    if demo:
        brand = (*brand, ("demo  ", "status--busy"))
    if instance is None or launch is None:
        return *brand, ("no model loaded", "status--quiet")
    mark, colour, words = state_words(instance.state)
    here = (
        *brand,
        (f"{mark} ", colour),
        (launch.preset.name, "status--text"),
        (f"  {words}", "status--quiet"),
    )
    return here if coming is None else (*here, *_coming_parts(coming))


def _coming_parts(coming: Instance) -> tuple[Part, ...]:
    mark, colour, words = state_words(coming.state)
    return ("   ", "status--quiet"), (f"{mark} ", colour), (f"{coming.id}  {words}", "status--quiet")


def state_words(state: InstanceState) -> tuple[str, str, str]:
    """Return mark, component class and words of a state."""
    match state:
        case Ready(info):
            where = f" · {info.n_gpu_layers}/{info.n_layer + 1} layers on GPU" if info.n_gpu_layers else ""
            context = f" · {format_tokens(info.n_ctx)} context" if info.n_ctx else ""
            return "●", "status--good", f"ready{context}{where}"
        case Loading(phase=phase, fraction=fraction):
            percent = f" {fraction:.0%}" if fraction is not None else ""
            return "◐", "status--busy", f"{PHASES[phase]}{percent} …"
        case Starting():
            return "◐", "status--busy", "starting …"
        case Stopping():
            return "◌", "status--busy", "stopping …"
        case Failed(failure):
            return "✗", "status--bad", failure.title
    return "○", "status--quiet", "stopped"


def memory_parts(reading: Reading | None) -> tuple[Part, ...]:
    """Return the right half: memory of every card, or of the machine where there is none."""
    if reading is None or reading.telemetry is None:
        return ()
    colour = "status--quiet" if reading.stale_since is None else "status--bad"
    telemetry = reading.telemetry
    host = telemetry.host
    ram = f"RAM {_of(host.memory_used_bytes, host.memory_total_bytes)} GiB "
    return *_card_parts(telemetry.gpus, colour), (ram, colour)


def _card_parts(gpus: tuple[GpuSnapshot, ...], colour: str) -> tuple[Part, ...]:
    """Return the memory of every card, of more than four together; a card that does not answer stands out."""
    stale = tuple(
        (f"GPU{gpu.index} no answer  ", "status--bad") for gpu in gpus if gpu.stale_since is not None
    )
    live = [gpu for gpu in gpus if gpu.stale_since is None]
    if len(gpus) <= MOST_CARDS:
        each = [f"GPU{gpu.index} {_of(gpu.memory_used_bytes, gpu.memory_total_bytes)}  " for gpu in live]
        return *((text, colour) for text in each), *stale
    known = [gpu for gpu in live if gpu.memory_used_bytes is not None and gpu.memory_total_bytes is not None]
    used = sum(gpu.memory_used_bytes or 0 for gpu in known)
    total = sum(gpu.memory_total_bytes or 0 for gpu in known)
    return (f"{len(known)} GPUs {_of(used, total)}  ", colour), *stale


def _of(used: int | None, total: int | None) -> str:
    return "/".join("n/a" if size is None else format_gib(size) for size in (used, total))
