"""Write docs/python-api.md: what the library offers, from its signatures and docstrings.

python -m docs.tools.api_page
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import is_dataclass
from pkgutil import resolve_name
from types import FunctionType
from typing import Any

import wavenet
from docs.tools.generated_page import DOCS, finished
from wavenet import errors, glossary
from wavenet.config.checks import Checked
from wavenet.config.reference import docstrings

PAGE = DOCS / "python-api.md"

# What is shown, in this order: all that `wavenet` offers, and what its signatures speak of.
SECTIONS = {
    "Hear, score and train": [
        "wavenet.load",
        "wavenet.generate",
        "wavenet.play",
        "wavenet.scores.notes.Note",
        "wavenet.scores.segments.Segment",
        "wavenet.vocode",
        "wavenet.score",
        "wavenet.train",
        "wavenet.Model",
        "wavenet.Audio",
        "wavenet.Score",
        "wavenet.model.checkpoint.Training",
    ],
    "Streaming": [
        "wavenet.Sampler",
        "wavenet.Sampling",
        "wavenet.read_prompt",
        "wavenet.read_source",
        "wavenet.Prompt",
        "wavenet.generation.conditions.Conditions",
    ],
    "Networks": [
        "wavenet.WaveNet",
        "wavenet.WaveNetStack",
        "wavenet.receptive_field",
        "wavenet.model.conditioning.carriers.ConditioningInput",
        "wavenet.model.conditioning.carriers.Conditioning",
    ],
    "Distributions": [
        "wavenet.model.distributions.registry.distribution_for",
        "wavenet.model.distributions.base.Distribution",
        "wavenet.Categorical",
        "wavenet.LogisticMixture",
        "wavenet.GaussianMixture",
    ],
    "Engines": [
        "wavenet.create_engine",
        "wavenet.EngineOptions",
        "wavenet.engines.Engine",
        "wavenet.generation.noise.noise_for",
        "wavenet.engines.conditioning.Projection",
    ],
    "Configuration": [
        "wavenet.Config",
        "wavenet.load_config",
        "wavenet.preset_names",
        "wavenet.ModelConfig",
        "wavenet.AudioConfig",
        "wavenet.TrainConfig",
    ],
    "Errors": ["wavenet.WavenetError", "wavenet.errors.UsageError"],
}


def page() -> str:
    """The page as it should be.

    Raises ValueError for a public name that has no place on it, or no docstring.
    """
    shown = {name for names in SECTIONS.values() for name in names}
    if missing := {f"wavenet.{name}" for name in wavenet.__all__} - shown:
        raise ValueError(f"give {sorted(missing)} a place in SECTIONS of docs/tools/api_page.py")
    return finished(PAGE, "api_page", "\n\n".join(filter(None, parts())))


def parts() -> Iterator[str]:
    """The generated part, paragraph by paragraph."""
    seen: dict[Any, str] = {}
    for title, names in SECTIONS.items():
        yield f"## {title}"
        if title == "Errors":
            yield inspect.cleandoc(errors.__doc__ or "")
        for name in names:
            yield from entry(name, seen)
    arrays_and_letters, _, _ = inspect.cleandoc(glossary.__doc__ or "").partition(
        "\n\nThe network:"
    )
    yield "## Shapes and letters"
    yield arrays_and_letters.partition("\n\n")[2]


def entry(name: str, seen: dict[Any, str]) -> Iterator[str]:
    """The paragraphs about a function or a class; `seen` says where a member was shown before."""
    thing, short = resolve_name(name), name.rpartition(".")[2]
    yield f"### {name}"
    if call := signature(short, thing):
        yield f"```text\n{call}\n```"
    yield documented(name, thing)
    if not inspect.isclass(thing):
        return
    members = public_members(thing)
    new = {member: value for member, value in members.items() if value not in seen}
    yield attributes(thing, new)
    for member, value in new.items():
        if not isinstance(value, property):
            call = signature(member, value)
            long = "\n" in call
            yield f"#### `{member}(...)`" if long else f"#### `{call}`"
            yield f"```text\n{call}\n```" if long else ""
            yield documented(f"{name}.{member}", value)
    for other in dict.fromkeys(seen[value] for value in members.values() if value in seen):
        same = [f"`{m}`" for m, value in members.items() if seen.get(value) == other]
        yield textwrap.fill(f"As in {other}: {', '.join(same)}.", 100)
    seen |= dict.fromkeys(new.values(), f"`{short}`")


def documented(name: str, thing: Any) -> str:
    """The docstring of a thing, its examples in fences. Raises ValueError where there is none."""
    if not (text := inspect.getdoc(thing)):
        raise ValueError(f"{name}: has no docstring")
    # Not run as the page's sessions are: `tests/test_docstrings.py` does.
    return re.sub(r"^>>> .+(\n.+)*", r"```text\n\g<0>\n```", text, flags=re.MULTILINE)


def ours(owner: type) -> list[type]:
    """A class and those of its bases that say something to its users, as far as they are ours."""
    bases = [base for base in owner.__mro__ if base.__module__.startswith("wavenet")]
    return [base for base in bases if base is not Checked]


def public_members(owner: type) -> dict[str, Any]:
    """The methods and properties of a class, its own ones first.

    Of one that overrides another without saying more, it is the other.
    """
    members: dict[str, Any] = {}
    for base in ours(owner):
        for name, value in vars(base).items():
            if not name.startswith("_") and not getattr(members.get(name), "__doc__", None):
                members[name] = value
    kinds = (FunctionType, classmethod, property)
    # The default of a field may be a function, too.
    found = {name: value for name, value in members.items() if isinstance(value, kinds)}
    return {name: value for name, value in found.items() if name not in fields(owner)}


def attributes(owner: type, members: dict[str, Any]) -> str:
    """A list of the documented fields of a class, and of the properties among `members`."""
    rows: list[str] = []
    if issubclass(owner, Checked) and owner.section:
        rows += [
            f"- Its fields are the settings of [{owner.section}](settings.md#{owner.section})."
        ]
    else:
        # A protocol's are shown with itself.
        bases = [b for b in ours(owner) if b is owner or not getattr(b, "_is_protocol", False)]
        kinds = {name: kind for base in bases for name, (kind, _) in fields(base).items()}
        texts = {name: text for base in bases for name, text in docstrings(base).items()}
        rows += [row(name, kinds[name], text) for name, text in texts.items()]
    for name, value in members.items():
        if isinstance(value, property):
            rows.append(row(name, definition(value.fget)[1], inspect.getdoc(value) or ""))
    return "\n".join(rows)


def row(name: str, kind: str, text: str) -> str:
    """A list item about an attribute."""
    of_class = re.fullmatch(r"ClassVar\[(.*)\]", kind)
    kind = (of_class[1] if of_class else kind).strip("'")
    head, *others = f"- `{name}: {kind}`. {text}".split("\n\n")
    wrap = textwrap.TextWrapper(100, subsequent_indent="  ", break_long_words=False)
    return "\n\n".join([wrap.fill(head), *(wrap.fill("  " + other) for other in others)])


def fields(owner: type) -> dict[str, tuple[str, str]]:
    """The annotated names in the body of a class: the annotation of each, and its default or ""."""
    found = {}
    tree = ast.parse(inspect.getsource(owner)).body[0]
    assert isinstance(tree, ast.ClassDef)
    for node in tree.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)):
                default = ast.unparse(node.value).replace("'", '"') if node.value else ""
                factory = re.fullmatch(r"field\(default_factory=(\w+)\)", default)
                default = f"{factory[1]}()" if factory else re.sub(r"^field\(.*\)$", "", default)
                found[name] = ast.unparse(node.annotation), default
    return found


def definition(function: Any) -> tuple[str, str]:
    """The signature of a function as its source has it, and what it returns."""
    source = textwrap.dedent(inspect.getsource(function))
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.FunctionDef)
    assert node.returns is not None
    *lines, last = source.splitlines()[node.lineno - 1 : node.returns.end_lineno]
    return "\n".join([*lines, last[: node.returns.end_col_offset]]), ast.unparse(node.returns)


def signature(name: str, thing: Any) -> str:
    """How something is called; empty for a class that is not made, or that has settings."""
    if not inspect.isclass(thing):
        text = definition(getattr(thing, "__func__", thing))[0]
    elif inspect.isabstract(thing) or getattr(thing, "_is_protocol", False):
        return ""
    elif is_dataclass(thing) or issubclass(thing, tuple):
        if issubclass(thing, Checked) and thing.section:
            return ""
        own = {k: v for base in reversed(ours(thing)) for k, v in fields(base).items()}
        given = [
            f"{field}: {kind}{f' = {default}' if default else ''}"
            for field, (kind, default) in own.items()
            if not kind.startswith("ClassVar") and not field.startswith("_")
        ]
        text = f"def {name}({', '.join(given)})"
        if len(text) > 92:
            text = "\n    ".join([f"def {name}(", *(f"{one}," for one in given)]) + "\n)"
    else:
        maker = thing.__new__ if "__new__" in vars(thing) else thing.__init__
        text = re.sub(r" -> \S+$", "", definition(maker)[0])
    text = re.sub(r"^def \w+", name, text)
    text = re.sub(r"(?<=[(\s])(?:self|cls)\b,?\s*", "", text, count=1)
    # What is quoted, because its module is imported late, is a class.
    return re.sub(r'"([A-Z]\w*(?: \| None)?)"', r"\1", text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
