"""Memory that a process frees, and may have again."""

import ctypes
import subprocess
import sys

import pytest

# Bytes that the C library holds free for this process: of its `mallinfo2`, the ninth number.
SCRIPT = """
import ctypes, sys
from wavenet.system.memory import keep_freed_memory
class MallInfo(ctypes.Structure):
    _fields_ = [(f"n{i}", ctypes.c_size_t) for i in range(10)]
libc = ctypes.CDLL("libc.so.6")
libc.mallinfo2.restype = MallInfo
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
if sys.argv[1] == "kept":
    keep_freed_memory()
libc.free(libc.malloc(20_000_000))
print(libc.mallinfo2().n8)
"""


def has_glibc() -> bool:
    try:
        return hasattr(ctypes.CDLL("libc.so.6"), "mallinfo2")
    except OSError:
        return False


@pytest.mark.skipif(not has_glibc(), reason="this system has another C library")
def test_what_is_freed_is_kept() -> None:
    free = {}
    for how in ("kept", "given back"):
        command = [sys.executable, "-c", SCRIPT, how]
        free[how] = int(subprocess.run(command, check=True, capture_output=True).stdout)
    assert free["given back"] < 20_000_000 <= free["kept"]


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from wavenet.system import memory

    def missing(_name: str) -> None:
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", missing)
    memory.keep_freed_memory()
