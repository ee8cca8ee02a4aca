"""Imports point one way, heavy ones wait, and only the command line prints: read from the source and tried."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "wavenet"
LAYERS = [
    {"errors", "shapes", "machine", "schedules", "interrupts"},
    {"coverage"},
    {"config", "files", "engines.host", "engines.options", "engines.pace"},
    {"codec", "audio", "mel", "labels", "progress", "time_major", "device", "patterns", "rollcall"},
    {"mixtures", "layers", "fidelity", "decoding", "processes"},
    {"distributions", "context"},
    {"engines.cond"},
    {"receptive", "baselines", "conditioning"},
    {"model", "inspection", "memory"},
    {"tables", "sketch"},
    {"pcm_cache", "checkpoint", "engines.packed", "engines.vectors", "pictures", "engines.triton_kernels"},
    {"engines.panels", "engines.tensors"},
    {"engines.draws"},
    {"engines.kernels"},
    {"engines.pipeline"},
    {"engines.compiled"},
    {"corpus", "housekeeping", "guides", "engines", "engines.reference", "engines.numba_cpu", "engines.ceilings"},
    {"engines.triton_gpu", "engines.cuda_graph"},
    {"run", "prefetch", "eager", "diagram", "influence"},
    {"evaluate"},
    {"trainer", "sampler", "predictors"},
    {"copysynthesis", "audition"},
    {"inspector", "session", "render", "vocoding", "score", "plot", "bench"},
    {"console"},
    {"demo", "board"},
    {"cli"},
    {"__init__", "__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def modules() -> dict[str, ast.Module]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix(".__init__") if name != "__init__" else name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imported(tree: ast.Module) -> set[str]:
    """Names of our own modules that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "wavenet":
            inner = node.module.removeprefix("wavenet").lstrip(".")
            names |= {inner} if inner else {a.name for a in node.names}
    return names


def test_imports_point_one_way() -> None:
    trees = modules()
    assert trees.keys() == RANK.keys(), "name every module in LAYERS"
    for name, tree in trees.items():
        for other in imported(tree):
            assert RANK[other] < RANK[name], f"{name} imports {other}, which stands beside or above it"


def test_only_the_command_line_prints() -> None:
    for name, tree in modules().items():
        calls = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
        assert "print" not in calls, name


def test_nothing_is_ever_unpickled() -> None:
    """Neither from files nor between processes."""
    unpicklers = ("pickle.", "import pickle", "torch.load", "object_list", "gather_object", "scatter_object", "allow_pickle=True")
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not [word for word in unpicklers if word in text], path.name


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(' '.join(sorted(sys.modules)))"
    return set(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split())


def test_generating_never_imports_torch() -> None:
    golden = Path(__file__).parent / "golden" / "format-1.safetensors"
    names = loaded_by(f"import wavenet\nwavenet.generate(wavenet.load({str(golden)!r}), seconds=0.01)")
    assert "numba" in names
    assert "torch" not in names


def test_help_imports_nothing_heavy() -> None:
    names = loaded_by("import wavenet.cli")
    assert not names & {"torch", "numpy", "numba", "librosa", "matplotlib", "soundfile", "pydantic"}


def test_network_and_engines_need_only_torch_and_numpy() -> None:
    """GPU machines are often bare."""
    absent = ["pydantic", "typer", "soundfile", "soxr", "librosa", "safetensors", "numba", "filelock", "tqdm", "matplotlib"]
    names = loaded_by(
        f"for name in {absent}: sys.modules[name] = None\n"
        "from wavenet.config import ModelConfig\n"
        "from wavenet.engines import pick\n"
        "from wavenet.model import WaveNet\n"
        "config = ModelConfig(layers=2)\n"
        "weights = {k: v.numpy() for k, v in WaveNet(config).state_dict().items()}\n"
        "assert pick('auto', config, weights).name == 'reference'"
    )
    assert "torch" in names


def test_engines_for_gpus_need_nothing_more_than_triton() -> None:
    absent = ["pydantic", "typer", "soundfile", "soxr", "librosa", "safetensors", "numba", "filelock", "tqdm", "matplotlib", "scipy"]
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    names = loaded_by(
        f"for name in {absent}: sys.modules[name] = None\n"
        "import os\n"
        "os.environ['TRITON_INTERPRET'] = '1'\n"
        "from wavenet import engines\n"
        "from wavenet.config import ModelConfig\n"
        "from wavenet.model import WaveNet\n"
        "config = ModelConfig(layers=2)\n"
        "weights = {k: v.numpy() for k, v in WaveNet(config).state_dict().items()}\n"
        "assert engines.pick('cuda-graph', config, weights).name == 'cuda-graph'\n"
        "engines.nvidia = lambda: True\n"
        "assert engines.pick('auto', config, weights).name == 'triton'"
    )
    assert "triton" in names


def test_public_names_are_there() -> None:
    import wavenet
    import wavenet.sampler

    for name in wavenet.__all__:
        assert callable(getattr(wavenet, name)), name
    assert callable(wavenet.generate)  # not shadowed by a module of that name
