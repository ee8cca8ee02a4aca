"""docs/tour.ipynb with what its cells show: runs them in a kernel of Jupyter, as readers would.

    python -m docs.tools.tour            and writes the notebook again
    python -m docs.tools.tour --check    and writes nothing

Needs ipykernel and nbclient (`./setup.sh dev` installs them). It takes some four minutes.
"""

import argparse
import hashlib
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOK = Path(__file__).parents[1] / "tour.ipynb"
# What a cell may take. The one that trains is told a minute.
CELL_SECONDS = 600
# All that other programs have to know; versions would differ at every run.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def read(path: Path = NOTEBOOK) -> NotebookNode:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call, no-any-return]


def write(notebook: NotebookNode, path: Path = NOTEBOOK) -> None:
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def digest(notebook: NotebookNode) -> str:
    """Of the code: outputs of other code have another."""
    code = "\n\n".join(cell.source for cell in code_cells(notebook))
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def execute(
    notebook: NotebookNode, folder: Path, environment: Mapping[str, str] | None = None
) -> None:
    """Run all cells in a new kernel, in a folder, and let the notebook hold what they show.

    A line that a progress bar took back is not kept. `environment` is added to this process's.
    Raises nbclient's CellExecutionError for a cell that fails.
    """
    with tempfile.TemporaryDirectory() as sockets:
        client = NotebookClient(
            notebook,
            km=AsyncKernelManager(**kernel(Path(sockets))),
            timeout=CELL_SECONDS,
            resources={"metadata": {"path": str(folder)}},
            # Times of day.
            record_timing=False,
            coalesce_streams=True,
        )
        client.execute(env={**os.environ, **(environment or {})}, cleanup_kc=True)
    notebook.metadata = nbformat.from_dict(  # type: ignore[no-untyped-call]
        METADATA | {"executed": digest(notebook)}
    )
    for cell in notebook.cells:
        cell.metadata = {}


def kernel(sockets: Path) -> dict[str, Any]:
    """What a manager takes for a kernel of this interpreter, whatever others are registered here.

    It is talked to through files in a folder, where there are such sockets: ports are open to every
    user of the machine.
    """
    specs = KernelSpecManager(kernel_dirs=[])
    options = {"kernel_name": "python3", "kernel_spec_manager": specs}
    if os.name == "posix":
        options |= {"transport": "ipc", "ip": str(sockets / "kernel")}
    return options


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    is_check = parser.parse_args().check
    notebook = read()
    execute(notebook, NOTEBOOK.parent)
    if not is_check:
        write(notebook)
        print(f"{NOTEBOOK.name}: {NOTEBOOK.stat().st_size // 1000} kB")
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "stream":
                sys.stdout.write(output.text)


if __name__ == "__main__":
    main()
