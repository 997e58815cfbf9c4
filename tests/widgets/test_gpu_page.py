"""The page of the gauge: a form for every size, truthful about what it does not know, and never too wide."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from fake_world import GIB
from gauge_world import HOST, NOW, bare_card, card, past, sliced_card, telemetry
from hypothesis import given, settings
from hypothesis import strategies as st

from kobold_tui.domain.gpu import GpuSnapshot, Telemetry
from kobold_tui.domain.gpu_levels import load_level, memory_level, power_level, temperature_level
from kobold_tui.domain.memory import DeviceMemory, MemoryEstimate
from kobold_tui.tui.widgets.cells import Line, width_of
from kobold_tui.tui.widgets.glance import glance_cuts, glance_lines
from kobold_tui.tui.widgets.gpu_grid import GaugeView, graphs_of, page_cuts, page_lines
from kobold_tui.tui.widgets.gpu_memory import predicted_bytes
from kobold_tui.tui.widgets.gpu_plan import plan_for

SIZES = [(80, 21), (74, 37), (146, 57)]
maybe = st.none() | st.integers(0, 2**40)
small = st.none() | st.integers(0, 5000)
cards = st.builds(
    GpuSnapshot,
    index=st.integers(0, 15),
    uuid=st.sampled_from(["", "GPU-1"]),
    name=st.sampled_from(["A100", "NVIDIA GeForce RTX 4090 Laptop GPU with a name that is long", "界" * 20]),
    memory_total_bytes=maybe,
    memory_used_bytes=maybe,
    memory_free_bytes=maybe,
    utilization_percent=small,
    temperature_c=small,
    power_w=st.none() | st.floats(0, 5000),
    power_limit_w=st.none() | st.floats(0, 5000),
    fan_percent=small,
    clock_sm_mhz=small,
    performance_state=small,
    throttle_reasons=st.none() | st.just(("power cap", "heat")),
    ecc_uncorrected=small,
    processes=st.sampled_from([(), card().processes]),
    mig_instances=st.sampled_from([(), sliced_card().mig_instances]),
    is_visible=st.booleans(),
    stale_since=st.none() | st.just(NOW - 12),
    fault=st.none() | st.just("GPU is lost"),
)


def page(reading: Telemetry, width: int = 80, height: int = 30, **known: object) -> str:
    """The page as text."""
    return "\n".join(text_of(line) for line in lines(reading, width, height, **known))


def lines(reading: Telemetry, width: int, height: int, **known: object) -> list[Line]:
    histories = {gpu.key: past(gpu.index) for gpu in reading.gpus}
    view = GaugeView(telemetry=reading, now=NOW, histories=histories)
    view = replace(view, **known)  # type: ignore[arg-type]
    plan = plan_for(reading, width, height)
    assert all(0 <= cut < width for cut in page_cuts(plan, width))
    return page_lines(view, plan, width, graphs_of(view, plan, width))


def text_of(line: Line) -> str:
    return "".join(text for text, _ in line)


def looks_of(found: list[Line], text: str) -> set[str]:
    """The looks of cells that contain a text."""
    return {look for line in found for part, look in line if text in part}


@settings(max_examples=25, deadline=None)
@given(st.lists(cards, max_size=16), st.sampled_from([30, 61, 74, 80, 125, 146, 200]), st.integers(6, 70))
def test_every_line_is_as_wide_as_the_page_and_the_plan_tells_how_many_there_are(
    gpus: list[GpuSnapshot], width: int, height: int
) -> None:
    reading = telemetry(gpus)
    found = lines(reading, width, height)
    assert {width_of(line) for line in found} == {width}
    assert len(found) == plan_for(reading, width, height).height


@settings(max_examples=20, deadline=None)
@given(st.lists(cards, max_size=16), st.integers(24, 60))
def test_the_glance_is_as_wide_as_its_column(gpus: list[GpuSnapshot], width: int) -> None:
    view = GaugeView(telemetry=telemetry(gpus), now=NOW)
    for coarse in (True, False):
        assert {width_of(line) for line in glance_lines(view, width, is_coarse=coarse)} == {width}
    assert all(0 <= cut <= width for cut in glance_cuts(view, width))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_processes_keep_their_room(count: int, size: tuple[int, int]) -> None:
    plan = plan_for(telemetry([card(index) for index in range(count)]), *size)
    assert plan.height + 4 <= size[1]


def test_more_cards_take_a_smaller_form() -> None:
    forms = [plan_for(telemetry([card(index) for index in range(n)]), 80, 21).form for n in (1, 2, 4, 8, 16)]
    assert forms == ["full", "box", "pair", "line", "line"]
    assert plan_for(telemetry([card(index) for index in range(8)]), 146, 57).columns == 2


def test_a_card_tells_whose_memory_it_holds() -> None:
    text = page(telemetry([card()]), 100, 30)
    for part in ("lantern-30b 21", "embedder 6.0", "others 19", "33 free", "46.0 / 80.0 GiB"):
        assert part in text
    assert "37 %" in text
    assert "172 / 400 W" in text
    assert "1.41 GHz · fan 30 % · P0" in text


@pytest.mark.parametrize(("width", "height"), [(80, 30), (80, 21), (80, 14), (80, 10)])
def test_what_is_not_known_is_never_zero(width: int, height: int) -> None:
    found = lines(telemetry([bare_card()]), width, height)
    text = "\n".join(text_of(line) for line in found if "RAM" not in text_of(line))
    assert text.count("n/a") >= 4
    for figure in ("0 %", "0 °C", "0 W", "0.0", "0/"):
        assert figure not in text.replace("128.0", "")


def test_a_card_that_stops_answering_keeps_its_figures_dimmed_and_says_for_how_long() -> None:
    lost = card(0, stale_since=NOW - 12.4, fault="GPU is lost")
    found = lines(telemetry([lost, card(1)]), 80, 40)
    text = "\n".join(map(text_of, found))
    assert "no answer for 12 s" in text
    assert "GPU is lost" in text
    assert "46.0 / 80.0 GiB" in text
    assert looks_of(found, "46.0 / 80.0 GiB") == {"stale"}
    assert looks_of(found, "41.0 / 80.0 GiB") == {"text"}
    assert "no answer for 12 s" in page(telemetry([lost] * 12), 80, 24)


def test_a_machine_that_stops_answering_says_so() -> None:
    found = lines(telemetry([card()]), 80, 40, host_age_seconds=75.0)
    assert "no answer for 1 min" in "\n".join(map(text_of, found))
    assert "no answer for 1 min" in page(telemetry([card(0), card(1)]), 80, 21, host_age_seconds=75.0)


def test_slices_of_a_card_stand_below_it() -> None:
    for height in (40, 21, 12):
        text = page(telemetry([sliced_card()]), 80, height)
        assert "└ 0  MIG 3g.40gb" in text
        assert "5.0 / 39.0 GiB" in text
        assert "└ 1  MIG 3g.40gb hidden" in text


def test_without_cards_the_page_says_why_and_shows_the_machine() -> None:
    why = "No GPU telemetry: there is no NVIDIA driver and no AMD card."
    text = page(telemetry([], notice=why), 100, 40)
    assert why in text
    for part in ("no GPU", "27.0 / 128.0 GiB", "17 %", "swap 0.2 / 8.0 GiB", "lantern-30b 2.0", "10 min"):
        assert part in text
    assert "n/a" in page(telemetry([], host=msgspec.structs.replace(HOST, cpu_percent=None)), 100, 40)


def test_what_is_wrong_with_a_card_stands_in_its_title() -> None:
    assert "slowed: power cap" in page(telemetry([card(0, throttle_reasons=("power cap",))]))
    assert "(0)  NVIDIA" in page(telemetry([card(0, is_visible=False)]))
    assert "hidden from our models" in page(telemetry([card(0, is_visible=False)]))
    assert "2 ECC errors" in page(telemetry([card(0, ecc_uncorrected=2)]))


def test_control_characters_of_names_never_reach_the_terminal() -> None:
    evil = card(0, name="A\x1b[2J100", stale_since=NOW - 1, fault="no\x07pe")
    assert "\x1b" not in page(telemetry([evil]))
    assert "\x07" not in page(telemetry([evil]))


def estimate(*devices: tuple[str, int, bool]) -> MemoryEstimate:
    return MemoryEstimate(
        n_gpu_layers=1,
        n_layer=1,
        devices=tuple(
            DeviceMemory(name=name, weights_bytes=size * GIB, is_host=host) for name, size, host in devices
        ),
    )


def test_what_is_about_to_be_loaded_is_an_outline_on_its_own_card() -> None:
    wanted = estimate(("CUDA1", 12, False), ("CPU", 3, True))
    found = lines(telemetry([card(0), card(1)]), 80, 40, estimate=wanted)
    text = "\n".join(map(text_of, found))
    first, second = text.split("1  NVIDIA")
    assert "▤" not in first
    assert "▤ predicted 12" in second
    assert "▤" in second.rsplit("RAM", 1)[1]


def test_devices_are_matched_by_number_else_by_order_among_the_visible() -> None:
    gpus = [card(0), card(1), card(0, uuid="GPU-hidden", is_visible=False)]
    assert predicted_bytes(estimate(("CUDA1", 2, False)), gpus) == {"GPU-1": 2 * GIB}
    by_order = estimate(("A100", 2, False), ("A100", 3, False), ("CPU", 1, True))
    assert predicted_bytes(by_order, gpus) == {"GPU-0": 2 * GIB, "GPU-1": 3 * GIB, "": GIB}
    assert predicted_bytes(None, gpus) == {}


def test_colours_follow_the_documented_thresholds() -> None:
    assert [memory_level(used, 100) for used in (89, 90, 96, 97)] == ["normal", "warm", "warm", "critical"]
    assert [load_level(percent) for percent in (9, 10, 74, 75, None)] == [
        *("idle", "normal", "normal", "warm", "unknown")
    ]
    assert [temperature_level(degrees) for degrees in (74, 75, 84, 85)] == [
        *("normal", "warm", "warm", "critical")
    ]
    assert [power_level(watts, 400) for watts in (379, 380, None)] == ["normal", "warm", "unknown"]
    assert power_level(500, None) == "normal"
    hot = lines(telemetry([card(0, temperature_c=88, memory_used_bytes=79 * GIB, power_w=399.0)]), 80, 30)
    assert looks_of(hot, "88 °C") == {"bad"}
    assert looks_of(hot, "79.0 / 80.0 GiB") == {"bad"}
    assert looks_of(hot, "399 / 400 W") == {"warn"}
