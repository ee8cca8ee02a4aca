"""Where caches lie: in the user's home, and in a private folder where that cannot be written.

In containers and on clusters a home may be missing or read-only. Libraries that keep compiled code
or lists of fonts there then stop, or remark on it.
"""

import atexit
import os
import shutil
import stat
import tempfile
from functools import cache
from pathlib import Path


def can_write(folder: Path) -> bool:
    """Whether files can be written to a folder, which may have to be made first."""
    nearest = next((p for p in (folder, *folder.parents) if os.path.exists(p)), folder)
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


@cache
def private_folder() -> Path | None:
    """A folder for temporary files that no other user can write; None where nothing is writable.

    It is the same at every start, unless its name is taken: numba unpickles what lies there, so
    what somebody else may have made is never used. A new one is then deleted at the end.
    """
    try:
        if hasattr(os, "geteuid"):
            folder = Path(tempfile.gettempdir(), f"wavenet-{os.geteuid()}")
            folder.mkdir(mode=0o700, exist_ok=True)
            if _is_private(folder):
                return folder
    except OSError:
        # It is a file, or there is no folder for temporary files.
        pass
    try:
        folder = Path(tempfile.mkdtemp(prefix="wavenet-"))
    except OSError:
        return None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _is_private(folder: Path) -> bool:
    """Whether this is a folder of this user, and of nobody else's."""
    status = folder.lstat()
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.geteuid()
        and not stat.S_IMODE(status.st_mode) & 0o077
    )


def provide_caches() -> None:
    """Name a private folder to libraries that could write to none; before they are imported.

    What the user's environment says of it stays.
    """
    if not os.path.isabs(os.path.expanduser("~")):
        # Some libraries fail where nobody knows a home; containers name this one.
        os.environ["HOME"] = os.sep
    home = Path(os.path.expanduser("~"))
    caches = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    configs = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    usual = {
        "NUMBA_CACHE_DIR": [caches / "numba"],
        "MPLCONFIGDIR": [caches / "matplotlib", configs / "matplotlib"],
        "TRITON_CACHE_DIR": [Path(os.environ.get("TRITON_HOME") or home) / ".triton"],
    }
    for variable, folders in usual.items():
        if variable in os.environ or all(map(can_write, folders)):
            continue
        if folder := private_folder():
            os.environ[variable] = str(folder / folders[0].name)
