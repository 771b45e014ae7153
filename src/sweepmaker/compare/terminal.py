"""The table for people: one line a run; a terminal gets the columns that it has room for."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from typing import TextIO

from sweepmaker.compare.columns import Comparison
from sweepmaker.compare.formats import closing, group_rows, header, row
from sweepmaker.compare.printing import printable

# what a terminal has no room for, the first first
_LESS = ("commit", "weights", "findings", "images/s", "epoch", "last", "duration")

_LONGEST = 32  # letters of a cell in a terminal; a file gets all of them


def print_table(comparison: Comparison, stream: TextIO | None = None) -> None:
    """The table, then what groups of repeats say, then the best run, then what is wrong with others."""
    stream = stream or sys.stdout
    tables = [[header(comparison), *(row(comparison, run) for run in comparison.runs)]]
    base = common_folder(comparison)
    if base:
        print(f"in {printable(base)}", file=stream)
        for cells in tables[0][1:]:
            cells[0] = cells[0][len(base) + 1 :]
    if found := group_rows(comparison):
        tables.append(found)
    room = shutil.get_terminal_size().columns if stream.isatty() else sys.maxsize
    for table in tables:
        limit = room if room == sys.maxsize else _LONGEST
        cut = [[cells[0], *(_cut(cell, limit) for cell in cells[1:])] for cells in table]
        lines, left_out = _lines([[printable(cell) for cell in cells] for cells in cut], room, comparison)
        stream.writelines(f"{line}\n" for line in lines)
        if left_out:
            print(f"(no room for {', '.join(left_out)}; format=csv has everything)", file=stream)
        print(file=stream)
    for line in closing(comparison):
        print(line, file=stream)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def common_folder(comparison: Comparison) -> str:
    """The folder that all runs are below; "" where there is none, or one run only."""
    parents = [str(run.folder.parent) for run in comparison.runs]
    if len(parents) < 2 or len({run.folder.is_absolute() for run in comparison.runs}) > 1:
        return ""
    base = os.path.commonpath(parents)
    return "" if base in (".", "/") else base


def _lines(table: list[list[str]], room: int, comparison: Comparison) -> tuple[list[str], list[str]]:
    """Columns one below the other, figures to the right; and the names of those left out for ``room``."""
    from rich.cells import cell_len  # a letter may be two columns wide

    widths = {i: max(cell_len(cells[i]) for cells in table) for i in range(len(table[0]))}
    names = table[0]
    left_out: list[str] = []
    further = [name for name in names if name.removesuffix(" last") in comparison.further]
    for name in (*_LESS, *reversed(further), *reversed(comparison.differing)):
        if sum(widths.values()) + 2 * (len(widths) - 1) <= room:
            break
        if name in names and names.index(name) in widths:
            del widths[names.index(name)]
            left_out.append(name)
    numeric = _numeric(names, table[1:])
    lines = []
    for cells in (names, ["-" * widths.get(i, 0) for i in range(len(names))], *table[1:]):
        padded = []
        for i, width in widths.items():
            space = " " * (width - cell_len(cells[i]))
            padded.append(space + cells[i] if numeric[i] else cells[i] + space)
        lines.append("  ".join(padded).rstrip())
    return lines, left_out


def _numeric(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[bool]:
    """Of each column but the first: whether it holds numbers only."""
    return [i > 0 and all(not cells[i] or _is_number(cells[i]) for cells in rows) for i in range(len(names))]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
