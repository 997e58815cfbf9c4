"""Which few dry runs tell the compute buffers of every placement that a slider can reach.

A dry run on virtual cards may use more cards than there are: each shows another part of the graph, so that
one run tells about many placements at once. At most six are made for each setting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory.arrangement import Arrangement, Region
from kobold_tui.domain.memory.estimate import Device, MemoryEstimate
from kobold_tui.domain.memory.graph_class import GraphClass, classes_of, labels_of_plan
from kobold_tui.domain.memory.levels import ComputeLevels, setting_of
from kobold_tui.domain.memory.plan import Plan, plan_of
from kobold_tui.domain.memory.shape import ModelShape

MAX_PROBES = 6
_FREE_BYTES = 1 << 44
_GREAT_DOUBT_BYTES = 128 << 20
_WEIGHT_OF_DOUBT = 8
_FIRST_REGION = 4


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """A dry run to make: options and the cards that it runs on; `is_arranged` ones need virtual cards."""

    options: LoadOptions
    cards: tuple[Device, ...]
    is_arranged: bool


class Calibration:
    """Asks for dry runs, one after another, and collects what they tell in `levels`."""

    def __init__(  # noqa: PLR0913 - the facts that decide which dry runs tell most
        self,
        shape: ModelShape,
        options: LoadOptions,
        devices: Sequence[Device],
        *,
        embedding: bool = False,
        can_arrange: bool = True,
        max_probes: int = MAX_PROBES,
    ) -> None:
        self.levels = ComputeLevels()
        self._shape = shape
        self._options = options
        self._devices = tuple(devices)
        self._embedding = embedding
        self._left = max_probes
        self._points = [self._plan(options, n, self._devices) for n in range(shape.n_units + 1)]
        self._classes = [classes_of(shape, plan) for plan in self._points]
        pins = any(not text.endswith(("=CPU", "_Host")) for text in options.override_tensors)
        self._can_arrange = can_arrange and not pins and len(self._points[0].chosen) > 1
        self.levels = ComputeLevels(setting=setting_of(self._points[0]))

    def next_probe(self) -> Probe | None:
        """Return the dry run that tells most, None when there is nothing more to learn or enough was made."""
        needed = self._needed()
        if self._left <= 0 or not needed:
            return None
        full = len(self._points) - 1
        if any(kind in needed for kind in self._classes[full]):
            return self._plain(full)
        arrangement = self._arrangement(needed) if self._can_arrange else None
        point = self._most_telling(needed, arrangement)
        plan = self._points[point]
        if arrangement is None or plan.assignment.starts[0] == plan.assignment.starts[1]:
            return self._plain(point)
        first = self._shortened(plan, self._classes[point][1])
        return self._probe(arrangement.regions(first))

    def _plain(self, point: int) -> Probe:
        options = msgspec.structs.replace(self._options, n_gpu_layers=point)
        return Probe(options=options, cards=self._devices, is_arranged=False)

    def add(self, probe: Probe, measured: MemoryEstimate) -> None:
        """Take the result of a dry run that `next_probe` asked for."""
        self._left -= 1
        plan = plan_of(self._shape, probe.options, probe.cards, embedding=self._embedding)
        self.levels = self.levels.with_probe(self._shape, plan, measured)

    def give_up(self) -> None:
        """Stop asking: a dry run failed."""
        self._left = 0

    def _plan(self, options: LoadOptions, n_gpu_layers: int, devices: Sequence[Device]) -> Plan:
        options = msgspec.structs.replace(options, n_gpu_layers=n_gpu_layers)
        return plan_of(self._shape, options, devices, embedding=self._embedding)

    def _needed(self) -> Counter[GraphClass]:
        """Count for each class that is not certain yet at how many positions of the slider it occurs."""
        counts = Counter(kind for classes in self._classes for kind in set(classes))
        for kind in list(counts):
            level = self.levels.level(kind)
            if level is not None and level.is_certain:
                del counts[kind]
            else:
                doubt = _GREAT_DOUBT_BYTES if level is None else min(level.doubt_bytes, _GREAT_DOUBT_BYTES)
                counts[kind] *= 1 + _WEIGHT_OF_DOUBT * doubt // _GREAT_DOUBT_BYTES
        return counts

    def _most_telling(self, needed: Counter[GraphClass], arrangement: Arrangement | None) -> int:
        """Return the position of the slider to look at: that with the commonest classes, halfway if several.

        Where cards can be arranged, the classes of RAM and of the first card count, and that of the last card
        as far as there is room for it; the others are seen in passing.
        """
        scores = []
        for plan, classes in zip(self._points, self._classes, strict=True):
            score = sum(needed[kind] for kind in set(classes if arrangement is None else classes[:2]))
            if arrangement is not None:
                begin = plan.assignment.starts[0] + _FIRST_REGION
                score += next((weight for last, _, weight in arrangement.tails if last >= begin), 0)
            scores.append(score)
        return max(range(len(scores)), key=lambda point: (scores[point], -abs(2 * point - len(scores))))

    def _arrangement(self, needed: Counter[GraphClass]) -> Arrangement:
        """Return how to lay out what cards other than the first are wanted to show."""
        wanted: dict[GraphClass, tuple[Region, int]] = {}
        for plan, classes in zip(self._points, self._classes, strict=True):
            starts = plan.assignment.starts
            for number, kind in enumerate(classes[2:], start=1):
                if kind in needed and starts[number] < starts[number + 1] and not plan.is_pipelined:
                    wanted.setdefault(kind, ((starts[number], starts[number + 1]), needed[kind]))
        labels = labels_of_plan(self._shape, self._points[0])
        return Arrangement(labels, self._shape.n_layer, wanted)

    def _shortened(self, plan: Plan, kind: GraphClass) -> Region:
        """Return the shortest region of the first card that has the class of a plan's."""
        begin, end = plan.assignment.starts[:2]
        for stop in range(begin + 1, end):
            if (
                stop < self._shape.n_layer
                and classes_of(self._shape, self._with_first(plan, stop))[1] == kind
            ):
                return begin, stop
        return begin, end

    def _with_first(self, plan: Plan, stop: int) -> Plan:
        """Return a plan whose first card ends at a unit and whose second has the rest."""
        begin, n_units = plan.assignment.starts[0], self._shape.n_units
        split = (float(stop - begin), float(n_units - stop))
        options = msgspec.structs.replace(self._options, n_gpu_layers=n_units - begin, tensor_split=split)
        return plan_of(self._shape, options, plan.cards[:2], embedding=self._embedding)

    def _probe(self, regions: list[Region]) -> Probe:
        counts = [end - begin for begin, end in regions]
        backend = self._points[0].cards[0].backend
        cards = tuple(
            Device(name=f"CUDA{index}", free_bytes=_FREE_BYTES, backend=backend)
            for index in range(len(counts))
        )
        options = msgspec.structs.replace(
            self._options,
            n_gpu_layers=sum(counts),
            tensor_split=tuple(float(count) for count in counts),
            split_mode="layer",
            devices=(),
            main_gpu=0,
        )
        return Probe(options=options, cards=cards, is_arranged=True)
