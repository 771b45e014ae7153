"""Which modules a tree of Python files imports, read from the source without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Import(NamedTuple):
    """``file`` (relative to the root it was looked for in) imports ``module`` in ``line``."""

    file: Path
    line: int
    module: str


def imports_below(root: Path, base: Path) -> Iterator[Import]:
    """Every import in the .py files below ``root`` (or in it, a file), as absolute dotted names.

    ``base`` is the folder on ``sys.path`` that the modules are named from. ``from a import b``
    gives both ``a`` and ``a.b``, since ``b`` may be a module. Imports by a literal name through
    ``importlib.import_module`` and ``__import__`` count; computed names can't be seen.
    """
    for file in [root] if root.is_file() else sorted(root.rglob("*.py")):
        relative = file.relative_to(base)
        # A module's relative imports start at its package: for __init__.py that is its own folder.
        package = relative.parent.parts
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
            for module in _modules(node, package):
                yield Import(relative, getattr(node, "lineno", 0), module)


def _modules(node: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (name.name for name in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            start = package[: len(package) - level + 1] if level else ()
            source = ".".join([*start, *([module] if module else [])])
            yield source
            yield from (f"{source}.{name.name}" for name in names)
        case ast.Call(func=function, args=[ast.Constant(value=str(module)), *_]) if ast.unparse(function) in (
            "importlib.import_module",
            "import_module",
            "__import__",
        ):
            yield module


def forbidden(imports: Iterator[Import], names: tuple[str, ...]) -> list[str]:
    """``file:line imports module`` for each import of one of ``names`` or of what is in it."""
    return sorted(
        {
            f"{found.file}:{found.line} imports {found.module}"
            for found in imports
            for name in names
            if found.module == name or found.module.startswith(name + ".")
        }
    )
