"""Imports point one way, heavy ones wait, and only the command line prints.

Some of this is read from the source, the rest is tried.
"""

import ast
from pathlib import Path

import pytest

from tests.helpers import loaded_by

PACKAGE = Path(__file__).parent.parent / "wavenet"
TESTS = Path(__file__).parent
# From the ground up: a package imports from those before it.
# Packages that know nothing of each other have one rank.
RANKS: list[set[str]] = [
    {"errors", "glossary", "arithmetic", "version"},
    {"system"},
    {"simd"},
    {"config"},
    {"audio"},
    {"scores"},
    {"plotting"},
    {"model"},
    {"data", "engines"},
    {"generation"},
    {"training", "bench"},
    {"evaluation", "analysis"},
    {"studio"},
    {"cli"},
    {"__init__", "__main__"},
]
RANK = {name: rank for rank, names in enumerate(RANKS) for name in names}
# The only packages whose __init__ imports anything.
OPEN_DOORS = {"config", "engines", "cli"}


# What `wavenet --help` waits for none of.
HEAVY = {"torch", "numpy", "numba", "librosa", "matplotlib", "soundfile", "scipy"}
# What GPU machines, which are often bare, need not have.
ABSENT = ["pydantic", "typer", "soundfile", "soxr", "librosa", "safetensors", "numba", "filelock"]
ABSENT += ["tqdm", "matplotlib"]
BARE = f"""
import os, sys
for name in {ABSENT}: sys.modules[name] = None
os.environ["TRITON_INTERPRET"] = "1"
from wavenet import engines
from wavenet.config import ModelConfig
from wavenet.model.network import WaveNet
config = ModelConfig(layers=2)
weights = {{k: v.numpy() for k, v in WaveNet(config).state_dict().items()}}
def created(name): return engines.create_engine(name, config, weights).name
"""


def modules() -> dict[str, ast.Module]:
    trees = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        trees[name] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


def imported(tree: ast.AST) -> set[str]:
    """The names of modules and symbols of this program that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "wavenet":
            inner = str(node.module).removeprefix("wavenet").lstrip(".")
            names |= {f"{inner}.{a.name}".lstrip(".") for a in node.names}
    return names


def test_imports_between_packages_point_one_way() -> None:
    trees = modules()
    assert {name.split(".")[0] for name in trees} == RANK.keys(), "give every package a rank"
    for name, tree in trees.items():
        own = name.split(".")[0]
        for other in imported(tree):
            package = other.split(".")[0]
            assert package == own or RANK[package] < RANK[own], f"{name} imports {other}"


def test_no_module_imports_itself_through_others() -> None:
    trees = modules()
    names = {n.removesuffix(".__init__") for n in trees}
    uses = {}
    for name, tree in trees.items():
        top = [n for n in tree.body if isinstance(n, ast.ImportFrom)]
        targets = set().union(*map(imported, top)) if top else set()
        uses[name.removesuffix(".__init__")] = {
            next((f for f in (x, x.rpartition(".")[0]) if f in names), "") for x in targets
        }
    done: set[str] = set()
    while ready := {n for n in uses if n not in done and uses[n] - {"", n} <= done}:
        done |= ready
    assert done == uses.keys(), f"these import each other in a circle: {sorted(uses.keys() - done)}"


def test_packages_import_nothing_by_themselves() -> None:
    for name, tree in modules().items():
        package, _, last = name.rpartition(".")
        if last == "__init__" and package and package not in OPEN_DOORS:
            assert not imported(tree), f"wavenet/{package}/__init__.py"


def test_only_the_command_line_prints_and_beside_it_only_training_draws_bars() -> None:
    for name, tree in modules().items():
        calls = {ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
        assert "print" not in calls, name
        bars = {n for n in imported(tree) if n.startswith("system.progress")}
        assert not bars or name.startswith("cli.") or name == "training.bars", name


def test_nothing_from_a_file_is_ever_unpickled() -> None:
    """Processes that train together may send each other objects; that is in one module."""
    unpicklers = {"pickle.", "import pickle", "torch.load", "allow_pickle=True"}
    senders = {"object_list", "gather_object", "scatter_object"}
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        words = unpicklers if path.name == "distributed.py" else unpicklers | senders
        assert not [word for word in words if word in text], path.name


def test_no_test_module_imports_another() -> None:
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("tests"):
                names = {*str(node.module).split("."), *(a.name for a in node.names)}
                assert not [n for n in names if n.startswith("test_")], path.name


def test_generating_never_imports_torch() -> None:
    golden = Path(__file__).parent / "golden" / "format-1.safetensors"
    names = loaded_by(
        f"import wavenet\nwavenet.generate(wavenet.load({str(golden)!r}), seconds=0.01)"
    )
    assert "numba" in names
    assert "torch" not in names


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["generate", "--help"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    run = f"sys.argv[1:] = {words}\ntry:\n    runpy.run_module('wavenet', run_name='__main__')"
    names = loaded_by(
        f"import os, runpy\nsys.stdout = open(os.devnull, 'w')\n{run}\n"
        "except SystemExit as e:\n    assert not e.code\nsys.stdout = sys.__stdout__"
    )
    assert "wavenet.cli.main" in names
    assert not names & HEAVY
    assert "pydantic" not in names or words != ["--help"]


def test_network_and_engines_need_only_torch_and_numpy() -> None:
    names = loaded_by(f"{BARE}\nassert created('auto') == 'reference'")
    assert "torch" in names


def test_engines_for_gpus_need_nothing_more_than_triton() -> None:
    pytest.importorskip("triton")
    names = loaded_by(
        f"{BARE}\nsys.modules['scipy'] = None\nassert created('cuda-graph') == 'cuda-graph'\n"
        "engines.nvidia = lambda: True\nassert created('auto') == 'triton'"
    )
    assert "triton" in names


def test_public_names_are_there() -> None:
    import wavenet
    import wavenet.generation.api

    for name in wavenet.__all__:
        assert callable(getattr(wavenet, name)), name
    # No module of that name shadows it.
    assert callable(wavenet.generate)
    assert wavenet.pick is wavenet.create_engine
