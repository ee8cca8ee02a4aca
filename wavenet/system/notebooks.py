"""Where what is written is shown in a notebook, by Jupyter, VS Code or Colab."""

import sys
import warnings


def in_a_notebook() -> bool:
    """Whether this process is a notebook's kernel."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    # In a terminal, IPython's shell has no kernel.
    return get_ipython is not None and hasattr(get_ipython(), "kernel")


def accept_missing_widgets() -> None:
    """Let nobody be warned in a notebook that a bar made of widgets would need ipywidgets.

    What librosa brings along asks for such a bar as soon as it is imported, and never draws one.
    """
    warnings.filterwarnings("ignore", "IProgress not found")
