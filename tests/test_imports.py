"""Imports point one way, heavy ones wait, and only the command line prints.

Some of this is read from the source, the rest is tried.
"""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "wavenet"
# From the ground up: a package imports from those before it.
# Packages that know nothing of each other have one rank.
RANKS: list[set[str]] = [
    {"errors", "glossary"},
    {"system"},
    {"config"},
    {"audio"},
    {"plotting"},
    {"model"},
    {"data", "engines"},
    {"generation"},
    {"training", "bench"},
    {"evaluation", "analysis"},
    {"cli"},
    {"__init__", "__main__"},
]
RANK = {name: rank for rank, names in enumerate(RANKS) for name in names}
# The only packages whose __init__ imports anything.
OPEN_DOORS = {"config", "engines", "cli"}


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


def test_only_the_command_line_prints() -> None:
    for name, tree in modules().items():
        calls = {
            n.func.id
            for n in ast.walk(tree)
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        }
        assert "print" not in calls, name


def test_nothing_is_ever_unpickled() -> None:
    """Neither from files nor between processes."""
    unpicklers = (
        "pickle.",
        "import pickle",
        "torch.load",
        "object_list",
        "gather_object",
        "scatter_object",
        "allow_pickle=True",
    )
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not [word for word in unpicklers if word in text], path.name


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(' '.join(sorted(sys.modules)))"
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return set(result.stdout.split())


def test_generating_never_imports_torch() -> None:
    golden = Path(__file__).parent / "golden" / "format-1.safetensors"
    names = loaded_by(
        f"import wavenet\nwavenet.generate(wavenet.load({str(golden)!r}), seconds=0.01)"
    )
    assert "numba" in names
    assert "torch" not in names


def test_help_imports_nothing_heavy() -> None:
    names = loaded_by("import wavenet.cli")
    assert not names & {"torch", "numpy", "numba", "librosa", "matplotlib", "soundfile", "pydantic"}


def test_network_and_engines_need_only_torch_and_numpy() -> None:
    """GPU machines are often bare."""
    absent = [
        "pydantic",
        "typer",
        "soundfile",
        "soxr",
        "librosa",
        "safetensors",
        "numba",
        "filelock",
        "tqdm",
        "matplotlib",
    ]
    names = loaded_by(
        f"for name in {absent}: sys.modules[name] = None\n"
        "from wavenet.config import ModelConfig\n"
        "from wavenet.engines import create_engine\n"
        "from wavenet.model.network import WaveNet\n"
        "config = ModelConfig(layers=2)\n"
        "weights = {k: v.numpy() for k, v in WaveNet(config).state_dict().items()}\n"
        "assert create_engine('auto', config, weights).name == 'reference'"
    )
    assert "torch" in names


def test_engines_for_gpus_need_nothing_more_than_triton() -> None:
    absent = [
        "pydantic",
        "typer",
        "soundfile",
        "soxr",
        "librosa",
        "safetensors",
        "numba",
        "filelock",
        "tqdm",
        "matplotlib",
        "scipy",
    ]
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    names = loaded_by(
        f"for name in {absent}: sys.modules[name] = None\n"
        "import os\n"
        "os.environ['TRITON_INTERPRET'] = '1'\n"
        "from wavenet import engines\n"
        "from wavenet.config import ModelConfig\n"
        "from wavenet.model.network import WaveNet\n"
        "config = ModelConfig(layers=2)\n"
        "weights = {k: v.numpy() for k, v in WaveNet(config).state_dict().items()}\n"
        "assert engines.create_engine('cuda-graph', config, weights).name == 'cuda-graph'\n"
        "engines.nvidia = lambda: True\n"
        "assert engines.create_engine('auto', config, weights).name == 'triton'"
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
