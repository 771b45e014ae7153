"""A page for each rule, made of its docstring and of the presets."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from sweepmaker.debugger.rules import BUILT_IN, Rule
from sweepmaker.debugger.settings import CANNOT_STOP

_HEADS = ("Condition", "What to do", "Differs from AWS", "Example")
_PRESETS = ("sane", "aws")
_COMMENT = re.compile(r"^ {4}(\w+): .*?# (.*)$")


def pages(conf: Path) -> dict[str, str]:
    """File name to Markdown, for ``docs/rules/``.

    Args:
        conf: the folder with the presets, ``conf/debugger``.
    """
    presets = {name: _preset(conf / f"{name}.yaml") for name in _PRESETS}
    comments = _comments(conf / "sane.yaml")
    made = {
        f"{name}.md": _page(name, rule, presets, comments.get(name, {})) for name, rule in BUILT_IN.items()
    }
    rows = "\n".join(
        f"| [{name}]({name}.md) | {_parts(rule)['Summary']} |" for name, rule in BUILT_IN.items()
    )
    made["README.md"] = (
        "# Rules\n\n"
        "What watches a run from inside (`debugger=sane`, the default; `debugger=aws` has SageMaker\n"
        "Debugger's numbers, `debugger=none` turns it off). Findings are printed when they happen, stand in\n"
        "`debugger/findings.json`, are counted in the metric `debugger/findings`, and close the run as a\n"
        "table. `debugger.action=stop` ends the run at the first finding, with its best model kept.\n"
        "These pages are written by `make rules`.\n\n"
        f"| rule | finds |\n| --- | --- |\n{rows}\n"
    )  # fmt: skip
    return made


def _page(name: str, rule: type[Rule], presets: Mapping[str, Any], comments: Mapping[str, str]) -> str:
    parts = _parts(rule)
    usual = rule().parameters
    lines = [f"# {name}", "", parts["Summary"], ""]
    for head in _HEADS:
        lines += [f"**{head}.** {parts[head]}", ""]
    lines += ["| parameter | sane | aws | |", "| --- | --- | --- | --- |"]
    for parameter, default in usual.items():
        cells = [_value(presets[preset].get(name), parameter, default) for preset in _PRESETS]
        lines.append(f"| `{parameter}` | {cells[0]} | {cells[1]} | {comments.get(parameter, '')} |")
    lines += [
        "", f"Change one with `debugger.rules.{name}.PARAMETER=VALUE`, turn the rule off with",
        f"`debugger.rules.{name}=null`."
        + ("" if name in CANNOT_STOP else f" `+debugger.rules.{name}.action=stop` lets it end the run."),
    ]  # fmt: skip
    if rule.RECORDED:
        named = ", ".join(f"`{parameter}`" for parameter in rule.RECORDED)
        lines += [
            "",
            f"A finished run can be asked with other numbers, except for {named}: observations depend on it.",
        ]
    return "\n".join(lines) + "\n"


def _parts(rule: type[Rule]) -> dict[str, str]:
    text = " ".join(inspect.cleandoc(rule.__doc__ or "").split())
    places = [
        (match.start(), match.end(), head)
        for head in _HEADS
        if (match := re.search(rf"\b{head}\b:?,?", text))
    ]
    assert [head for _, _, head in sorted(places)] == list(_HEADS), f"{rule.__name__} lacks a part: {places}"
    parts = {"Summary": text[: places[0][0]].strip()}
    for (_, begin, head), following in zip(places, [*places[1:], (len(text), 0, "")], strict=True):
        body = text[begin : following[0]].strip().replace("``", "`")
        parts[head] = body[:1].upper() + body[1:]
    return parts


def _value(settings: Mapping[str, Any] | None, parameter: str, default: Any) -> str:
    if settings is None:
        return "off"
    value = settings.get(parameter, default)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _preset(path: Path) -> dict[str, Any]:
    node: Any = OmegaConf.to_container(OmegaConf.load(path))
    return dict(node["rules"])


def _comments(path: Path) -> dict[str, dict[str, str]]:
    """Rule to parameter to the comment behind it."""
    found: dict[str, dict[str, str]] = {}
    rule = ""
    for line in path.read_text().splitlines():
        if named := re.match(r"^  (\w+):", line):
            rule = named[1]
        elif commented := _COMMENT.match(line):
            found.setdefault(rule, {})[commented[1]] = commented[2]
    return found
