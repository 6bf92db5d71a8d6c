"""What is remembered of keys: within bounds in memory, and through a kill in a file."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from pluginkit import MemoryStore, SqliteStore, Store, StoreError
from pluginkit.answers import CANCELLED, success
from pluginkit.keys import Memory
from shared.settings import ROOT
from tests.pluginkit.conftest import Serve, Shop
from tests.pluginkit.harness import OLD, Caller, new_key, problem, until

COUNTING = """
import asyncio, os
from pathlib import Path
from pluginkit import Plugin, SqliteStore

folder = Path(os.environ["FOLDER"])
plugin = Plugin(secret=os.environ["SECRET"], store=SqliteStore(folder / "keys.sqlite"))

@plugin.action("builder")
async def build(call):
    while not (folder / "go").exists():
        await asyncio.sleep(0.01)
    with (folder / "effects").open("a") as effects:
        effects.write(call.key + "\\n")
    return {"fence": call.fence}

app = plugin.asgi()
"""


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Each of the stores that come with the kit."""
    made = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "keys.sqlite")
    yield made
    await made.close()


async def test_what_is_saved_is_loaded(store: Store) -> None:
    """Whatever JSON the answer is; the last word about a key counts."""
    assert await store.load("a") is None
    for memory in (
        Memory(3),
        Memory(4, success({"text": "\u00fc\n", "n": [1, None, 2.5, True]})),
        Memory(2**53, CANCELLED),
    ):
        await store.save("a", memory)
        assert await store.load("a") == memory
    assert await store.load("b") is None


async def test_memory_has_bounds() -> None:
    """By number and by bytes; what was not asked for longest goes first."""
    store = MemoryStore(max_keys=3, max_bytes=10_000)
    for key in "abc":
        await store.save(key, Memory(1))
    await store.load("a")
    await store.save("d", Memory(1))
    assert [key for key in "abcd" if await store.load(key)] == ["a", "c", "d"]
    await store.save("e", Memory(1, success("x" * 9_500)))
    assert len(store) <= 3
    await store.save("f", Memory(1, success("x" * 9_500)))
    assert [key for key in "acdef" if await store.load(key)] == ["f"]


async def test_an_empty_store_is_a_store(serve: Serve, shop: Shop) -> None:
    """The one that was given is used, and no other."""
    store = MemoryStore(max_keys=1)
    async with serve(shop.plugin(store=store)) as caller:
        await caller.result()
        assert len(store) == 1


async def test_a_file_forgets_what_is_too_old(tmp_path: Path) -> None:
    """Runs are not retried for ever."""
    file = tmp_path / "keys.sqlite"
    store = SqliteStore(file)
    await store.save("a", Memory(1))
    await store.close()
    store = SqliteStore(file, keep_seconds=0)
    await asyncio.sleep(0.01)
    await store.save("b", Memory(1))
    assert await store.load("a") is None
    await store.close()


async def test_a_file_belongs_to_one_process(tmp_path: Path) -> None:
    """Two would not know what the other has under way."""
    file = tmp_path / "keys.sqlite"
    store = SqliteStore(file)
    with pytest.raises(StoreError, match="locked"):
        SqliteStore(file)
    await store.close()
    await SqliteStore(file).close()
    await store.save("a", Memory(1))
    assert await store.load("a") == Memory(1), "it is opened again"
    await store.close()
    with pytest.raises(StoreError, match=str(tmp_path)):
        SqliteStore(tmp_path)


class FullDisk(MemoryStore):
    """A store that nothing can be saved in when it is `full`."""

    full = False

    async def save(self, key: str, memory: Memory) -> None:
        """Unless it is full."""
        if self.full:
            raise StoreError("the disk is full")
        await super().save(key, memory)


async def test_a_store_that_fails_begins_no_work(serve: Serve, shop: Shop) -> None:
    """Asked again when it works it does; what was done meanwhile is told as it is."""
    store = FullDisk()
    async with serve(shop.plugin(store=store)) as caller:
        shop.gate.clear()
        done = asyncio.create_task(caller.result())
        await until(lambda: shop.calls)
        store.full = True
        answer = await caller.call()
        assert problem(answer) == (503, "STORE_FAILED")
        assert "retry-after" in answer.headers
        assert len(shop.calls) == 1
        shop.gate.set()
        assert await done == {"n": 1}
        store.full = False
        assert await caller.result() == {"n": 2}


@contextmanager
def _process(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    (folder / "counting.py").write_text(COUNTING)
    environment = {**os.environ, "FOLDER": str(folder), "SECRET": OLD, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(folder), "counting:app"]
    with subprocess.Popen(
        [*command, "--port", "0"], env=environment, cwd=folder, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        try:
            for line in process.stderr:
                if "running on http" in line:
                    yield process, line.split("running on ")[1].split()[0]
                    break
        finally:
            process.kill()


async def test_one_effect_survives_kills(http: httpx.AsyncClient, tmp_path: Path) -> None:
    """Killed while it works, the work is done by the next attempt; killed after it, never again."""
    key, (go, effects) = new_key(), (tmp_path / "go", tmp_path / "effects")
    with _process(tmp_path) as (process, url):
        call = asyncio.create_task(Caller(http, url).call(key))
        await asyncio.sleep(0.3)
        process.send_signal(signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            await call
    go.touch()
    with _process(tmp_path) as (_, url):
        assert await Caller(http, url).result(key, attempt=2, fence=2) == {"fence": 2}
    with _process(tmp_path) as (_, url):
        caller = Caller(http, url)
        assert await caller.result(key, attempt=3, fence=3) == {"fence": 2}
        assert problem(await caller.call(key, attempt=2, fence=2)) == (409, "STALE_FENCE")
    assert effects.read_text().split() == [key]
