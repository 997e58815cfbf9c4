"""What dry runs have told about compute buffers, and what follows from it for placements not yet tried."""

from __future__ import annotations

import msgspec

from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory.buffers import layout_of
from kobold_tui.domain.memory.estimate import MemoryEstimate
from kobold_tui.domain.memory.graph_class import NOTHING, GraphClass, classes_of, is_at_end, significance
from kobold_tui.domain.memory.plan import Plan
from kobold_tui.domain.memory.shape import ModelShape

_GREAT_DOUBT_BYTES = 64 << 20
_ALMOST_THE_SAME = 1
_SMALL_DOUBT_BYTES = 1 << 20
_NUMBER_BYTES = 4


class Setting(msgspec.Struct, frozen=True):
    """The options that decide about the graph, apart from who holds which layers."""

    options: LoadOptions
    makes_vectors: bool


class Level(msgspec.Struct, frozen=True):
    """A compute buffer in bytes, and by how much it may be more or less than that; 0 is certain."""

    n_bytes: int
    doubt_bytes: int = 0

    @property
    def is_certain(self) -> bool:
        """Whether dry runs leave no other value."""
        return self.doubt_bytes == 0


def setting_of(plan: Plan) -> Setting:
    """Return what a plan has in common with others whose compute buffers tell about its own."""
    options = msgspec.structs.replace(
        plan.options,
        n_gpu_layers=0,
        tensor_split=(),
        split_mode="tensor" if plan.options.split_mode == "tensor" else "layer",
        devices=(),
        main_gpu=0,
        n_threads="auto",
        n_threads_batch="auto",
    )
    return Setting(options, plan.sizes.makes_vectors)


class ComputeLevels(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Compute buffers by class, from dry runs of one setting; empty at first."""

    setting: Setting | None = None
    known: dict[GraphClass, int] = {}
    row_numbers_bytes: int = 0
    _concluded: dict[GraphClass, Level | None] = {}

    def corrected(self, shape: ModelShape, plan: Plan, guesses: list[int]) -> list[int]:
        """Return the compute buffers of a plan, RAM first; guesses stand where nothing is known."""
        if self.setting != setting_of(plan):
            return guesses
        classes = classes_of(shape, plan)
        levels = [self.level(wanted) for wanted in classes]
        return [
            guess if level is None else level.n_bytes for level, guess in zip(levels, guesses, strict=True)
        ]

    def level(self, wanted: GraphClass) -> Level | None:
        """Return what a device of a class needs, None where no dry run has seen anything like it."""
        if wanted in self.known:
            return Level(self.known[wanted])
        if wanted.frame == NOTHING:
            return Level(0)
        if wanted not in self._concluded:
            self._concluded[wanted] = self._conclusion(wanted)
        return self._concluded[wanted]

    def _conclusion(self, wanted: GraphClass) -> Level | None:
        """Bound a class by those that have less and more of the graph, or take the one most like it."""
        bounding = [kind for kind in self.known if kind.is_comparable(wanted)]
        below = [kind for kind in bounding if kind.runs <= wanted.runs]
        low = max((self.known[kind] for kind in below), default=0)
        high = min((self.known[kind] for kind in bounding if kind.runs >= wanted.runs), default=None)
        is_covered = below and frozenset().union(*(kind.runs for kind in below)) == wanted.runs
        if is_covered or (high is not None and low >= high):
            return Level(low)
        likely = self._likely(wanted)
        if likely is None:
            return None
        size, doubt = max(likely.n_bytes, low), likely.doubt_bytes
        if high is None:
            return Level(size, doubt)
        return Level(min(size, high), doubt if doubt < _GREAT_DOUBT_BYTES else high - low)

    def _likely(self, wanted: GraphClass) -> Level | None:
        """Return the level of the class that is most like another, with how doubtful it is."""
        twin = self._twin(wanted)
        if twin is not None:
            return Level(twin, _SMALL_DOUBT_BYTES)
        same = {self.known[kind] for kind in self.known if kind.is_same_but_for_detail(wanted)}
        if len(same) == 1:
            return Level(same.pop(), _SMALL_DOUBT_BYTES)
        similar = [kind for kind in self.known if kind.frame[:2] == wanted.frame[:2]]
        if not similar:
            return None
        nearest = min(similar, key=lambda kind: _distance(kind, wanted))
        is_close = _distance(nearest, wanted)[0] <= _ALMOST_THE_SAME
        return Level(self.known[nearest], _SMALL_DOUBT_BYTES if is_close else _GREAT_DOUBT_BYTES)

    def _twin(self, wanted: GraphClass) -> int | None:
        """Return the buffer of a card with the same blocks elsewhere in the model, None where none is known.

        It is put right by what such a change of place is known to cost.
        """
        if wanted.frame[0] != "other" or wanted.frame[-1] != 2:
            return None
        for kind, n_bytes in self.known.items():
            if kind.runs == wanted.runs and kind.frame[:2] == wanted.frame[:2]:
                return n_bytes + self._offset(kind, wanted)
        return None

    def _offset(self, one: GraphClass, other: GraphClass) -> int:
        """Return by how much devices like `other` exceed those like `one` where both have the same blocks."""
        places = (one.frame, one.detail), (other.frame, other.detail)
        of_one, of_other = (
            {kind.runs: n_bytes for kind, n_bytes in self.known.items() if (kind.frame, kind.detail) == place}
            for place in places
        )
        differences = sorted(of_other[runs] - of_one[runs] for runs in of_one.keys() & of_other.keys())
        if differences:
            return differences[len(differences) // 2]
        return self.row_numbers_bytes * (int(is_at_end(other)) - int(is_at_end(one)))

    def with_probe(self, shape: ModelShape, plan: Plan, measured: MemoryEstimate) -> ComputeLevels:
        """Return the levels with a dry run more."""
        rows = [measured.host, *(measured.cards[index] for index in plan.chosen)]
        found = {kind: row.compute_bytes for kind, row in zip(classes_of(shape, plan), rows, strict=True)}
        numbers = plan.sizes.n_outputs * _NUMBER_BYTES
        return ComputeLevels(
            setting=setting_of(plan),
            known={**self.known, **found},
            row_numbers_bytes=layout_of(plan.cards[0].backend).padded(numbers) if plan.cards else numbers,
            _concluded={},
        )


def _distance(kind: GraphClass, wanted: GraphClass) -> tuple[int, int]:
    """Return how much two classes differ: in kinds of blocks first, then in place, then in longer runs."""
    places = zip((*kind.frame, *kind.detail), (*wanted.frame, *wanted.detail), strict=True)
    different = kind.runs ^ wanted.runs
    weight = sum(one != other for one, other in places) + sum(significance(run) for run in different)
    return weight, len(different)
