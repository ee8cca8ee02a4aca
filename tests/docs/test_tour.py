"""docs/tour.ipynb: what is kept in it, and that it runs in a kernel."""

import base64
import copy
import re
import socket
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import soundfile as sf
from markdown_it import MarkdownIt

needed = "is what notebooks run in: ./setup.sh dev installs it"
pytest.importorskip("ipykernel", reason=f"ipykernel {needed}")
nbformat: Any = pytest.importorskip("nbformat", reason=f"nbformat {needed}")
pytest.importorskip("nbclient", reason=f"nbclient {needed}")

from docs.tools import tour  # noqa: E402

ROOT = Path(__file__).parents[2]
MOST_BYTES = 1_500_000
CLIPS, PICTURES = 8, 4
# All that may stand on standard error.
COMPILING = "wavenet: compiling the CPU kernels for this machine, once; some seconds"
EXPECTED = re.compile(
    rf"{COMPILING}|wavenet: compiled in [\d.]+ s|"
    r"100% \|█+\| ([\d,]+) of \1 steps, in \d\d:\d\d(, [\d.]+ of 8 bits(, [\d.]+k samples/s)?)?"
)


@pytest.fixture(scope="module")
def notebook() -> Any:
    return tour.read()


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in tour.code_cells(notebook) for output in cell.outputs]


def stream(notebook: Any, name: str, cells: str = "") -> list[str]:
    """The lines of a stream, of all cells or of one by its id."""
    chosen = [cell for cell in tour.code_cells(notebook) if cells in ("", cell.id)]
    assert chosen
    texts = [o.text for cell in chosen for o in cell.outputs if o.get("name") == name]
    return "".join(texts).splitlines()


def clips(notebook: Any) -> list[Any]:
    """The audio of every player, (time,)."""
    html = "".join(o.data.get("text/html", "") for o in outputs(notebook) if "data" in o)
    data = re.findall(r'<audio controls src="data:audio/wav;base64,([^"]+)"', html)
    return [sf.read(BytesIO(base64.b64decode(clip)))[0] for clip in data]


def pictures(notebook: Any) -> list[str]:
    return [o.data["image/png"] for o in outputs(notebook) if "image/png" in o.get("data", {})]


def texts(notebook: Any) -> str:
    """All that can be read in it."""
    parts = [cell.source for cell in notebook.cells]
    for output in outputs(notebook):
        data = output.get("data", {})
        parts += [output.get("text", ""), data.get("text/plain", "")]
        parts.append(re.sub('base64,[^"]*', "", data.get("text/html", "")))
    return "\n".join(parts)


def test_it_holds_what_its_cells_show_when_they_run_in_order(notebook: Any) -> None:
    nbformat.validate(notebook)
    cells = tour.code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    again = "python -m docs.tools.tour runs it again"
    assert notebook.metadata == tour.METADATA | {"executed": tour.digest(notebook)}, again
    assert not [o for o in outputs(notebook) if o.output_type == "error"]
    assert (len(clips(notebook)), len(pictures(notebook))) == (CLIPS, PICTURES)
    assert all(map(EXPECTED.fullmatch, stream(notebook, "stderr")))


def test_it_is_short_and_small(notebook: Any) -> None:
    assert tour.NOTEBOOK.stat().st_size < MOST_BYTES
    assert 10 <= len(tour.code_cells(notebook)) <= 16
    assert max(len(cell.source.splitlines()) for cell in notebook.cells) <= 20


def test_it_says_nothing_of_the_machine_or_the_time(notebook: Any) -> None:
    assert not [cell.id for cell in notebook.cells if cell.metadata]
    # Those that programs make are made anew.
    assert not [cell.id for cell in notebook.cells if re.fullmatch("[0-9a-f-]{8,}", cell.id)]
    shown = texts(notebook)
    places = {str(ROOT), str(Path.home()), socket.gethostname(), "/home/", "/root/", "/Users/"}
    # A machine may be called by a word, or by a part of one.
    assert not [place for place in places if len(place) > 5 and place in shown]


def test_every_link_leads_somewhere(notebook: Any) -> None:
    pages = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    # Jupyter's own anchors, which keep capitals and points.
    own = {line.lstrip("# ").replace(" ", "-") for line in "\n".join(pages).splitlines()}
    tokens = [t for page in pages for t in MarkdownIt().parse(page)]
    children = [child for token in tokens for child in token.children or []]
    links = [str(child.attrs["href"]) for child in children if child.type == "link_open"]
    assert len(links) > 10
    for link in links:
        path, _, anchor = link.partition("#")
        if not path:
            assert anchor in own, link
            continue
        page = (tour.NOTEBOOK.parent / path).read_text("utf-8")
        titles = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
        ids = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
        assert not anchor or anchor in ids, link


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_it_runs_from_top_to_bottom_on_a_new_machine(notebook: Any, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (tmp_path / "data").symlink_to(ROOT / "data")
    new = copy.deepcopy(notebook)
    for cell in tour.code_cells(new):
        cell.outputs, cell.execution_count = [], None
    caches = {
        "NUMBA_CACHE_DIR": str(tmp_path / "numba"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        # Else it tells of a list of fonts that it makes.
        "MPLCONFIGDIR": matplotlib.get_cachedir(),
    }
    tour.execute(new, folder, caches)
    tour.write(new, folder / "tour.ipynb")

    assert [path.name for path in folder.iterdir()] == ["tour.ipynb"]
    assert (folder / "tour.ipynb").stat().st_size < MOST_BYTES
    heard = clips(new)
    assert len(heard) == CLIPS
    assert all(wav.std() > 0.003 for wav in heard), "silence"
    assert len(pictures(new)) == PICTURES
    assert "the same again: True" in stream(new, "stdout")

    said = stream(new, "stderr")
    assert not [line for line in said if not EXPECTED.fullmatch(line)]
    # The first time that anything is made, and before the first step of training of a kind.
    told = stream(new, "stderr", "generate")
    assert told[0] == COMPILING
    assert len(told) == 2
    assert said.count(COMPILING) <= 4
    (bar,) = [line for line in stream(new, "stderr", "training") if "steps" in line]
    assert bar.startswith("100%")

    scores = [re.search(r"([\d.]+) bits per sample", s) for s in stream(new, "stdout", "score")]
    base, trained = [float(score[1]) for score in scores if score]
    assert trained < base - 0.01
