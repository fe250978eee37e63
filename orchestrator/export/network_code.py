"""The network's own modules, copied beside exported weights, so that nobody needs polarmap to load them."""

import ast
import importlib.util
from pathlib import Path
from typing import Final

_PACKAGE: Final = "mpi_model"
_FIRST: Final = "mpi_model.pipeline"


def copy_network_code(folder: Path) -> None:
    """Write every module that loading a pipeline imports into `folder/mpi_model/`, as it is."""
    target = folder / _PACKAGE
    target.mkdir(parents=True)
    for name, source in sorted(_sources().items()):
        (target / f"{name}.py").write_text(source, encoding="utf-8")


def _sources() -> dict[str, str]:
    """The text of the modules, by their name in the package."""
    found: dict[str, str] = {"__init__": _text(_PACKAGE)}
    waiting = [_FIRST]
    while waiting:
        module = waiting.pop()
        name = module.removeprefix(f"{_PACKAGE}.")
        if name in found:
            continue
        found[name] = _text(module)
        imports = (node for node in ast.walk(ast.parse(found[name])) if isinstance(node, ast.ImportFrom))
        waiting += [node.module for node in imports if node.module and node.module.startswith(f"{_PACKAGE}.")]
    return found


def _text(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None  # the packages are installed together
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")
