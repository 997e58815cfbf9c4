"""What the tuning pane says in words: the model, how sure the figures are, what is searched for."""

from __future__ import annotations

from kobold_tui.tui.tuning import Tuning
from kobold_tui.tui.widgets.cells import Cell, Line, fit_line, width_of
from kobold_tui.tui.widgets.fit_text import safe
from kobold_tui.tui.widgets.tune_board import summary_of

HELP = """\
What the model under the cursor would take of every card and of RAM, before it is loaded. The bars follow each
step: █ weights, ▓ KV cache, ▒ compute buffers, ░ overhead of the driver, ▚ what other processes hold, · free;
│ is where the reserve begins. **✗ OVER** and » mark a device that has no room.

**↑ ↓** go from control to control, **← →** move one step, with **ctrl** or **PgUp PgDn** a tenth of the way,
**Home End** to the ends; digits are taken as a value; **a** leaves the choice to the program. The mouse
clicks, drags and scrolls the control that has the keys.

*Predicted* is arithmetic on the file's header. *Dry run* is llama.cpp itself, which places the model without
loading it; *measured* is what the driver says of the loaded model. **b** takes over the best placement,
**Enter** on a row of the table that row alone. **h** plans for other hardware, such as `24G,24G`.

**ctrl+s** loads the model with these settings, and the conversation goes on. **w** loads it also where memory
seems short. **p** writes them to a preset.
"""


def head_line(tuning: Tuning, width: int) -> Line:
    """Return the verdict on the whole and the model that it is about."""
    shape, model = tuning.model.shape, tuning.launch.model
    verdict = summary_of(tuning.shown) if tuning.exact is None else summary_of(tuning.exact)
    if not tuning.estimate.is_supported and tuning.exact is None:
        verdict = summary_of(tuning.estimate)
    facts = f"  {shape.architecture} · {shape.n_layer} layers"
    name: list[Cell] = [(safe(model.name), "title"), (safe(facts), "quiet")]
    room = width - width_of([verdict]) - 2
    return (
        *fit_line(name, max(room, 0)),
        ("  ", "text"),
        *fit_line([verdict], min(width - 2, width_of([verdict]))),
    )


def truth_words(tuning: Tuning, *, is_loaded: bool, applies: bool) -> str:
    """Return how the figures came about, and what is missing and why."""
    words = [safe(note) for note in tuning.estimate.notes]
    if tuning.exact_note:
        words.append(f"No dry run: {safe(tuning.exact_note)}")
    if tuning.hardware:
        words.append("Planned for other hardware: there is nothing to measure.")
    elif is_loaded and not applies:
        words.append("Measured: after ctrl+s, which loads the model with these settings.")
    elif not is_loaded:
        words.append("Measured: once the model is loaded.")
    return " ".join(words)


def search_words(tuning: Tuning) -> str:
    """Return what the search for the best is doing, or how its proposal is taken over."""
    if not tuning.estimate.is_supported:
        return "No proposal: without a prediction there is nothing to search in."
    if tuning.best is None:
        return "Searching for the best placement …"
    if tuning.best.kind == "no":
        return f"It does not fit: {safe(tuning.best.why)}"
    return "b takes the best over, Enter one row."
