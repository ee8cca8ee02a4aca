"""The kernel compiled for GPUs that are not here, and what the user is told of that.

Triton's interpreter cannot notice a missing barrier. It is read from the compiled code.
"""

import functools
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Compiled = Callable[[str], dict[str, Any]]
# A preset, a precision, a compute capability, the preset's settings that differ, and `prefetch`.
TARGETS: dict[str, tuple[Any, ...]] = {
    f"nv-wavenet-{precision}-{capability}": ("nv-wavenet", precision, capability)
    for capability in (80, 90, 100)
    for precision in ("fp32", "bf16")
}
TARGETS |= {
    "paper-fp32-90": ("paper", "fp32", 90),
    "gaussian-fp32-90": (
        "nv-wavenet",
        "fp32",
        90,
        {"model.output": "gaussian", "model.mixtures": 5},
    ),
    # These follow mel frames.
    "r9y9-mol-bf16-90": ("r9y9-mol", "bf16", 90),
    "r9y9-mulaw256-fp32-90": ("r9y9-mulaw256", "fp32", 90),
    "r9y9-mulaw256-bf16-90": ("r9y9-mulaw256", "bf16", 90),
}
QUICK = "nv-wavenet-bf16-90"
# With the weights of two further layers on their way.
AHEAD: dict[str, tuple[Any, ...]] = {
    "nv-wavenet-fp32-ahead": ("nv-wavenet", "fp32", 90, {}, 3),
    "nv-wavenet-bf16-ahead": ("nv-wavenet", "bf16", 90, {}, 3),
    "vocoder-small-fp32-ahead": ("vocoder-small", "fp32", 90, {}, 3),
}
# Bytes of a thread: a few dozen of its numbers.
MOST_SPILLED = 256
# What a program may have of a Hopper multiprocessor's, in bytes.
SHARED_MEMORY = 227 * 1024


def started(script: str, folder: str) -> "subprocess.Popen[str]":
    """A process of its own, because Triton interprets all that it has imported, or nothing.

    What it compiles is kept in the folder.
    """
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = folder
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.engines.{script}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent.parent,
        env=environment,
    )


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compiled]:
    """What `compile_kernel` reports of a target, by name.

    One process compiles all of them: it takes longer to start than to compile a kernel.
    """
    pytest.importorskip("triton")
    with started("compile_kernel", str(tmp_path_factory.mktemp("triton"))) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, answers = process.stdin, process.stdout

        @functools.cache
        def report(name: str) -> dict[str, Any]:
            assert process.poll() is None, "the process ended with an earlier target"
            print(json.dumps((TARGETS | AHEAD)[name]), file=asked, flush=True)
            answer = answers.readline()
            assert answer, f"{name} does not compile"
            found: dict[str, Any] = json.loads(answer)
            return found

        yield report


def require_barriers(found: dict[str, Any]) -> None:
    # Between barriers, a step writes its rings and z; then total; hidden; params; and while it
    # draws, nothing that others read.
    assert found["stores_between_barriers"] == [2, 1, 1, 1, 1]
    assert found["barriers_in_ptx"] >= 4
    assert not found["reads_past_the_cache"]
    assert found["spilled_bytes"] <= MOST_SPILLED


@pytest.mark.parametrize(
    "name", [pytest.param(t, marks=[pytest.mark.slow] * (t != QUICK)) for t in TARGETS]
)
def test_the_kernel_compiles_for_every_gpu_with_its_barriers(name: str, compiled: Compiled) -> None:
    found = compiled(name)
    assert found["arch"].startswith(f"sm_{TARGETS[name][2]}")
    require_barriers(found)
    assert found["copies_ahead"] == found["cp_async_in_ptx"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", AHEAD)
def test_layers_are_loaded_ahead_where_that_is_asked_for(name: str, compiled: Compiled) -> None:
    found = compiled(name)
    require_barriers(found)
    assert found["copies_ahead"] > 0
    assert found["cp_async_in_ptx"] > 0
    # What is left is the embedding's, before the loop.
    assert found["loads_of_layers"] == 1
    assert found["shared_bytes"] <= SHARED_MEMORY


def test_only_the_cosines_table_may_be_read_past_the_cache() -> None:
    pytest.importorskip("triton")
    from tests.engines.compile_kernel import reads_past_the_cache

    table = "mov.b64 %rd1, __cudart_i2opi_f;\nadd.s64 %rd2, %rd1, %rd9;\n"
    assert not reads_past_the_cache(f"{table} ld.global.nc.b32 %r1, [%rd2+4];")
    assert not reads_past_the_cache("ld.global.b32 %r1, [%rd3];")
    assert reads_past_the_cache(f"{table} ld.global.nc.b32 %r1, [%rd3];")
    assert reads_past_the_cache(f"{table} ld.global.nc.v2.b32 {{%r1, %r2}}, [%rd9+16];")
    assert reads_past_the_cache(f"{table} add.s64 %rd2, %rd3, 8;\nld.global.nc.b32 %r1, [%rd2];")


# --- what the user is told ------------------------------------------------------------------------


def is_report(told: list[str]) -> bool:
    begun = "compiling the GPU kernel for this machine, once; some seconds"
    return bool(re.fullmatch(rf"{begun}\ncompiled in \d+\.\d s", "\n".join(told)))


def test_a_compilation_is_reported_and_what_comes_from_the_cache_is_not(compiled: Compiled) -> None:
    found = compiled(QUICK)
    assert is_report(found["told"])
    assert found["told_again"] == []


@pytest.mark.slow
def test_a_model_is_compiled_once_and_reported_with_its_first_state(tmp_path: Path) -> None:
    """Whatever the batch, the number of steps and the sampling are."""
    pytest.importorskip("triton")
    with started("specialise_kernel", str(tmp_path)) as process:
        printed, _ = process.communicate()
    assert process.returncode == 0
    models = json.loads(printed)
    assert all(is_report(told) for told, _ in models)
    assert [kernels for _, kernels in models] == [1, 2, 3]


def test_only_the_thread_that_asks_is_told_and_settings_are_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("triton")
    from triton import knobs
    from triton.runtime.cache import FileCacheManager, get_cache_manager

    from wavenet.engines.gpu.compilation import reporting

    class Own(FileCacheManager):  # type: ignore[misc]
        """What a user may have set."""

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    told: list[str] = []

    def look_up(key: str) -> None:
        """As Triton does before it compiles."""
        get_cache_manager(key * 64).get_group("kernel.json")

    def fail(own: type | None) -> None:
        with reporting(told.append):
            other = threading.Thread(target=look_up, args="a")
            other.start()
            other.join()
            assert isinstance(get_cache_manager("b" * 64), own or FileCacheManager)
            raise KeyError

    for own in (None, Own):
        monkeypatch.setattr(knobs.cache, "manager_class", own)
        with pytest.raises(KeyError):
            fail(own)
        assert knobs.cache.manager_class is own
    assert told == []
    with reporting(told.append):
        look_up("c")
        look_up("d")
    assert is_report(told)
