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


_OBSERVED = """## What they look at

Numbers taken at the first ten optimizer steps and at every 25th from then on (on cached features:
every 500th), at each validation, and once of the first images and labels. They stand in
`debugger/observations.jsonl.gz`, which `zcat` reads while the run goes on: about 10 kB a sample of
EfficientNet-B2. With `debugger.every_n_steps=auto` samples move apart in very long runs, to twice
the distance after each thousand: 25,000 steps have 1,000 samples, a million some 5,300. A number of
yours is kept.

`python compare.py action=rules runs=... debugger.rules.NAME.PARAMETER=VALUE` asks them again over
what is stored there; it writes nothing. What the observations do not hold is refused in words, and
a rule that was off in that run may have nothing to look at (`Error` in its table).

Parameters have AWS's names. Those that choose tensors by their names (`base_trial`, `tensor_regex`,
the regular expressions of labels and predictions) do not exist: what a rule looks at is found by
its kind. Each page says what else differs.

With several optimizers (a GAN) a layer is judged at steps of its own optimizer, and training losses
are not judged: they are not meant to fall. Under `torch.compile` activations are not seen. Advice
in words of this project's config (`lr=...`) is left out where the model or the data are classes of
yours.

## A rule of your own

A dataclass; its fields are its parameters. It has to be importable, a module beside `train.py` is:

```python
from dataclasses import dataclass

from sweepmaker.debugger.rules import Finding, Rule


@dataclass
class LossAbove(Rule):
    bound: float = 10.0

    def on_step(self, step):  # also on_evaluation, on_images, on_labels, on_stall, on_end
        if step.loss > self.bound:
            what, advice = "the loss is high", "a lower learning rate"
            yield Finding(step.step, step.epoch, "loss", step.loss, self.bound, what, advice)
```

`+debugger.rules.Mine._target_=my_rules.LossAbove +debugger.rules.Mine.bound=5` turns it on. What it
can see is documented in `src/sweepmaker/debugger/observations.py`. If it raises, it ends as `Error`
with file and line, and the run goes on.
"""


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
        "table. `debugger.action=stop` ends the run at the first finding, with its best model kept; where\n"
        "`trainer.min_epochs` asks for more, it goes on until then. Steps and epochs count from 0.\n"
        "These pages are written by `make rules`.\n\n"
        f"| rule | finds |\n| --- | --- |\n{rows}\n\n{_OBSERVED}"
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
