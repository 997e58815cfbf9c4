"""Places are looked through side by side, followed on disk, and one that hangs holds up nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing

import pytest

from kobold_tui.domain.model import Catalogue, ModelEntry, ModelFault, Sighting
from kobold_tui.services.model_places import ModelPlaces, Place
from kobold_tui.services.models import ModelsService
from kobold_tui.services.own_thread import OwnThread

Seen = ModelEntry | Sighting | ModelFault


def entry(path: str) -> ModelEntry:
    return ModelEntry(
        path=path,
        name=path.strip("/"),
        architecture="llama",
        kind="chat",
        parameters=1,
        quantization="Q4_0",
        size_bytes=1,
        n_layer=1,
        n_ctx_train=1,
        n_embd=1,
        chat_template=True,
        shards=1,
        source="test",
    )


class Hanging:
    """A network mount that gives some rows and then does not answer until it is released."""

    def __init__(self, *rows: Seen) -> None:
        self._rows = rows
        self._release = threading.Event()

    def __call__(self) -> Iterator[Seen]:
        yield from self._rows
        self._release.wait()

    def release(self) -> None:
        self._release.set()


@pytest.fixture
def hanging() -> Iterator[Callable[..., Hanging]]:
    """Makes places that hang; all are released in the end."""
    made: list[Hanging] = []

    def make(*rows: Seen) -> Hanging:
        made.append(Hanging(*rows))
        return made[-1]

    yield make
    for place in made:
        place.release()


def places(interval: float = 0.01, patience: float = 0.2, **looks: Callable[[], object]) -> ModelPlaces:
    named = [Place(name=name, look=look) for name, look in looks.items()]  # type: ignore[arg-type]
    return ModelPlaces(named, patience_seconds=patience, interval_seconds=interval)


def service(found: ModelPlaces) -> ModelsService:
    def read(path: object, source: str) -> ModelEntry:
        return entry(str(path))

    return ModelsService(found, read, OwnThread("files"))


async def until(catalogues: AsyncGenerator[Catalogue, None], fits: Callable[[Catalogue], bool]) -> Catalogue:
    async for catalogue in catalogues:
        if fits(catalogue):
            return catalogue
    raise AssertionError("the catalogue ended")


def paths(catalogue: Catalogue) -> list[str]:
    return [model.path for model in catalogue.models]


async def test_all_places_come_together_in_their_order_of_precedence() -> None:
    copies = [Sighting(entry=entry(path), content="same") for path in ("/first", "/second")]
    models = service(places(a=lambda: [copies[0]], b=lambda: [copies[1], entry("/third")]))
    listed, faults = await models.list_models()
    assert [(model.path, model.copies) for model in listed] == [("/first", ("/second",)), ("/third", ())]
    assert faults == ()


async def test_only_the_named_places_are_looked_through(hanging: Callable[..., Hanging]) -> None:
    models = service(places(patience=600, here=lambda: [entry("/here")], there=hanging(entry("/there"))))
    listed, _ = await models.list_models(["here"])
    assert [model.path for model in listed] == ["/here"]


async def test_a_place_that_hangs_is_named_and_holds_up_no_other(hanging: Callable[..., Hanging]) -> None:
    models = service(places(mount=hanging(entry("/slow")), disk=lambda: [entry("/quick")]))
    listed, (fault,) = await models.list_models()
    assert [model.path for model in listed] == ["/quick", "/slow"]
    assert fault.path == "mount"
    assert "does not answer" in fault.reason


async def test_rows_of_other_places_stream_in_while_one_hangs(hanging: Callable[..., Hanging]) -> None:
    mount = hanging()
    models = service(places(patience=600, mount=mount, disk=lambda: [entry("/quick")]))
    rows = models.scan()
    assert await anext(rows) == entry("/quick")
    mount.release()
    assert [row async for row in rows] == []


async def test_a_place_that_breaks_is_a_fault_and_the_others_live() -> None:
    def broken() -> Iterator[Seen]:
        yield entry("/before")
        raise OSError("the disk is gone")

    listed, (fault,) = await service(places(bad=broken, good=lambda: [entry("/good")])).list_models()
    assert [model.path for model in listed] == ["/before", "/good"]
    assert "the disk is gone" in fault.reason


async def test_a_row_keeps_the_path_it_was_given_under(hanging: Callable[..., Hanging]) -> None:
    first = Sighting(entry=entry("/first"), content="same")
    second = Sighting(entry=entry("/second"), content="same")
    late = threading.Event()

    def slow() -> Iterator[Seen]:
        late.wait()
        yield first

    rows = service(places(patience=600, slow=slow, quick=lambda: [second])).scan()
    assert await anext(rows) == entry("/second")
    late.set()
    (update,) = [row async for row in rows]
    assert isinstance(update, ModelEntry)
    assert (update.path, update.copies) == ("/second", ("/first",))


async def test_those_who_watch_see_files_come_change_and_go() -> None:
    files: dict[str, ModelEntry] = {"/a": entry("/a")}
    models = service(places(disk=lambda: list(files.values())))
    async with aclosing(models.watch()) as catalogues:
        assert paths(await until(catalogues, lambda known: not known.pending)) == ["/a"]
        files["/b"] = entry("/b")
        await until(catalogues, lambda known: paths(known) == ["/a", "/b"])
        del files["/a"]
        await until(catalogues, lambda known: paths(known) == ["/b"])


async def test_nothing_goes_on_when_nobody_watches_any_more() -> None:
    found = places(disk=lambda: [entry("/a")])
    async with aclosing(found.watch()) as catalogues:
        await until(catalogues, lambda known: paths(known) == ["/a"])
    await found.looked_through()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_whoever_cannot_wait_lets_places_be_looked_through_at_once() -> None:
    files = [entry("/a")]
    models = service(places(interval=600, disk=lambda: tuple(files)))
    async with aclosing(models.watch()) as catalogues:
        await until(catalogues, lambda known: paths(known) == ["/a"])
        files.append(entry("/b"))
        models.look_again()
        await until(catalogues, lambda known: paths(known) == ["/a", "/b"])


async def test_a_place_that_is_still_looked_through_is_named_until_it_answers(
    hanging: Callable[..., Hanging],
) -> None:
    mount = hanging(entry("/slow"))
    models = service(places(interval=600, patience=600, mount=mount, disk=lambda: [entry("/quick")]))
    async with aclosing(models.watch()) as catalogues:
        first = await until(catalogues, lambda known: len(known.models) == 2)
        assert first.pending == ("mount",)
        mount.release()
        await until(catalogues, lambda known: known.pending == ())


async def test_a_place_that_stops_answering_keeps_its_rows_and_is_named() -> None:
    stuck, released = threading.Event(), threading.Event()

    def look() -> Iterator[Seen]:
        yield entry("/a")
        if stuck.is_set():
            released.wait()

    models = service(places(patience=0.05, mount=look))
    async with aclosing(models.watch()) as catalogues:
        await until(catalogues, lambda known: paths(known) == ["/a"] and not known.pending)
        stuck.set()
        known = await until(catalogues, lambda known: known.pending == ("mount",))
        assert paths(known) == ["/a"]
        released.set()
        await until(catalogues, lambda known: not known.pending)


async def test_two_who_watch_share_the_work() -> None:
    passes = 0

    def look() -> list[Seen]:
        nonlocal passes
        passes += 1
        return [entry("/a")]

    models = service(places(interval=600, disk=look))
    async with aclosing(models.watch()) as one, aclosing(models.watch()) as two:
        for catalogues in (one, two):
            await until(catalogues, lambda known: paths(known) == ["/a"])
    assert passes == 1


def test_a_place_that_hangs_does_not_delay_the_end(hanging: Callable[..., Hanging]) -> None:
    mount = hanging()

    async def watch_a_little() -> None:
        async with aclosing(service(places(mount=mount)).watch()) as catalogues:
            await until(catalogues, lambda known: known.pending == ("mount",))

    ended = threading.Event()

    def run() -> None:
        asyncio.run(watch_a_little())
        ended.set()

    threading.Thread(target=run, daemon=True).start()
    assert ended.wait(30)
