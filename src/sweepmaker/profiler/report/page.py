"""The report: one self-contained HTML file that needs no network and no script."""

from __future__ import annotations

from pathlib import Path

from sweepmaker.profiler.judge import Found
from sweepmaker.profiler.profile import FOLDER, OPERATORS, Profile
from sweepmaker.profiler.report import learning, machine, overview, training
from sweepmaker.profiler.report.markup import document, paragraph, sentence, text
from sweepmaker.run import untrusted

_LIMIT = 5_000_000  # bytes of a file that is read for the page


def build(run: Path, profile: Profile, found: Found, state: str) -> str:
    """The page of the run in ``run``, which ended as ``state``.

    Raises:
        OSError: a file of the run cannot be read.
    """
    record = untrusted.read_object(run / "run.json", _LIMIT)
    debugger = untrusted.read_object(run / "debugger" / "findings.json", _LIMIT)
    own = not profile.facts.get("node")  # operators are recorded on the first machine
    operators = untrusted.read_object(run / FOLDER / OPERATORS, _LIMIT) if own else {}
    parts = [
        ("summary", "Summary", overview.summary(profile, record)),
        ("rules", "Rules", overview.rules(profile, found)),
        ("system", "Machine", machine.system(profile)),
        ("split", "Where the time went", training.split(profile, found, operators)),
        ("steps", "Steps", training.steps(profile, found)),
        ("gpu", "GPU utilisation", machine.gpus(profile, found)),
        ("balance", "Workload balance", machine.balance(profile, found)),
        ("data", "Data loading", training.data(profile, found)),
        ("batch", "Batch size", machine.batch(profile, found)),
        ("bottlenecks", "CPU and I/O bottlenecks", machine.bottlenecks(profile, found)),
        ("memory", "GPU memory", machine.gpu_memory(profile, found)),
        ("learning", "Learning", learning.curves_of(run / "metrics.csv", record)),
        ("debugger", "Debugger", learning.debugger(debugger)),
        ("run", "Run", learning.about(record, profile)),
    ]
    links = "".join(f'<a href="#{name}">{text(title)}</a>' for name, title, _ in parts)
    sections = "\n".join(body for _, _, body in parts)
    title = f"{run.parent.name}/{run.name}"
    body = f"""<header>
<h1>Profile of {text(title)}</h1>
<p class="soft">{text(_state(state, profile))}</p>
{_verdict(found)}
<nav aria-label="Sections">{links}</nav>
</header>
<main>
{sections}
</main>
<footer class="soft">
<p>Made by sweepmaker from what this run measured. Recommendations are hints: try one at a time.</p>
</footer>
"""
    return untrusted.plain(document(f"Profile of {title}", body))


def _state(state: str, profile: Profile) -> str:
    facts = profile.facts
    device = ", ".join(facts.get("gpus") or []) or f"CPU, threads: {facts.get('threads', '-')}"
    nodes = facts.get("nodes")
    where = f"machine {facts.get('node')} of {nodes} · " if isinstance(nodes, int) and nodes > 1 else ""
    return f"{state} · {where}{device} · thresholds: {profile.settings.preset}"


def _verdict(found: Found) -> str:
    lines = [
        sentence(line.removeprefix("profile: ").removesuffix(" (profiler/report.html)"))
        for line in found.sentences
    ]
    kind = "verdict found" if found.best else "verdict"
    mark = "Worth changing" if found.best else "Nothing to change"
    said = "".join(paragraph(line) for line in lines)
    return f'<div class="{kind}"><p><strong>{mark}.</strong></p>{said}</div>'
