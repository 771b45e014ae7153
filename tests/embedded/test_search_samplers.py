"""Suggestions: the grid's order, seeds, Optuna used directly, replay and warm start."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from launchers.embedded.search import Earlier, Range, Search, Spec

LR = Range("lr", "continuous", 1e-4, 1e-1, "log")
DROP = Range("drop", "continuous", 0.0, 0.5)
KEEP = Range("keep", "continuous", 0.0, 0.999, "reverse_log")
DEPTH = Range("depth", "integer", 1, 8)
WIDTH = Range("width", "integer", 8, 512, "log")
BATCH = Range("batch_size", "categorical", values=("8", "16", "32"))
ALL = (LR, DROP, DEPTH, WIDTH, BATCH, KEEP)


def objective(values: dict[str, Any]) -> float:
    """Something with a best point, of the texts or of what Optuna suggests."""
    good = -abs(float(values["lr"]) - 0.01) * 20 - (float(values["drop"]) - 0.2) ** 2
    return good - abs(int(values["depth"]) - 5) / 10 + int(values["batch_size"]) / 100


def one_by_one(search: Search) -> list[dict[str, str]]:
    """All suggestions of a search with one job at a time."""
    found = []
    while (asked := search.ask()) is not None:
        found.append(asked[1])
        search.tell(asked[0], objective(asked[1]))
    return found


def test_grid_in_the_order_of_the_request() -> None:
    sizes = Range("size", "categorical", values=("b", "a", "'c d'"))
    search = Search(Spec("Grid", (BATCH, sizes), True, max_jobs=9))
    asked = [search.ask() for _ in range(9)]
    expected = itertools.product(BATCH.values, sizes.values)
    assert asked == [(n, {"batch_size": b, "size": s}) for n, (b, s) in enumerate(expected)]
    assert search.ask() is None and search.ask() is None
    for number in range(9):
        search.tell(number, 0.0)
    assert search.ask() is None


def test_grid_ends_with_its_combinations_or_with_its_jobs() -> None:
    assert len(one_by_one_grid(max_jobs=100)) == 3
    assert one_by_one_grid(max_jobs=2) == ["8", "16"]


def one_by_one_grid(max_jobs: int) -> list[str]:
    search = Search(Spec("Grid", (BATCH,), True, max_jobs=max_jobs))
    return [asked[1]["batch_size"] for asked in iter(search.ask, None)]


@pytest.mark.parametrize("strategy", ["Random", "Hyperband"])
def test_chance_follows_the_seed_alone(strategy: str) -> None:
    spec = Spec(strategy, ALL, True, max_jobs=30, max_parallel=5, seed=7)
    quiet = Search(spec)
    alone = [quiet.ask() for _ in range(30)]
    for seed in range(3):
        calls, answers = disturbed(Search(spec), seed)
        asked = [answer for words, answer in zip(calls, answers, strict=True) if words == ["ask"]]
        assert asked == [*alone, None]
    other = Search(Spec(strategy, ALL, True, max_jobs=30, seed=8))
    assert [other.ask() for _ in range(30)] != alone


def disturbed(search: Search, seed: int) -> tuple[list[Any], list[Any]]:
    """Up to five trials at a time, told in any order, some failed, some cut: the calls and the answers."""
    source = random.Random(seed)
    running: dict[int, int] = {}
    calls: list[Any] = []
    answers: list[Any] = []
    while not calls or calls[-1] != ["ask"] or answers[-1] is not None:
        move = source.random()
        if len(running) < 5 and move < 0.5:
            calls.append(["ask"])
        elif running and move < 0.8:
            number = source.choice(list(running))
            running[number] += source.randint(1, 3)
            value = source.choice([source.random(), source.random(), float("nan"), -1.0])
            calls.append(["report", number, running[number], value])
        elif running:
            number = source.choice(list(running))
            del running[number]
            calls.append(["tell", number, source.choice([source.random(), source.random(), None])])
        else:
            continue
        answers.append(call(search, calls[-1]))
        if calls[-1] == ["ask"] and answers[-1] is not None:
            running[answers[-1][0]] = 0
    return calls, answers


def call(search: Search, words: list[Any]) -> Any:
    """A call as the server keeps it."""
    return getattr(search, words[0])(*words[1:])


def test_categories_come_once_before_one_comes_again() -> None:
    search = Search(Spec("Random", (BATCH, Range("x", "categorical", values=("a", "b"))), True, 18, seed=1))
    found = [tuple(asked[1].values()) for asked in iter(search.ask, None)]
    for part in (found[:6], found[6:12], found[12:]):
        assert len(set(part)) == 6
    assert found[:6] != found[6:12]


def test_integers_come_once_too() -> None:
    """Also the improbable ones of a logarithmic scale."""
    ranges = (Range("a", "integer", 1, 60, "log"), Range("b", "integer", -2, 3))
    search = Search(Spec("Random", ranges, True, 360, seed=1))
    found = [(int(asked[1]["a"]), int(asked[1]["b"])) for asked in iter(search.ask, None)]
    assert sorted(found) == [(a, b) for a in range(1, 61) for b in range(-2, 4)]
    assert sum(a <= 7 for a, _ in found[:60]) > 20  # 7 of 60, and 57 % of the scale


@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2**32 + 5])
def test_bayesian_is_optuna(seed: int, maximize: bool) -> None:
    """With one job at a time: as someone would write it with Optuna, its own defaults."""
    ours = one_by_one(Search(Spec("Bayesian", (LR, DROP, DEPTH, WIDTH, BATCH), maximize, 40, seed=seed)))
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed % 2**32),
        direction="maximize" if maximize else "minimize",
    )
    for suggested in ours:
        trial = study.ask()
        values: dict[str, Any] = {
            "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
            "drop": trial.suggest_float("drop", 0.0, 0.5),
            "depth": trial.suggest_int("depth", 1, 8),
            "width": trial.suggest_int("width", 8, 512, log=True),
            "batch_size": trial.suggest_categorical("batch_size", ["8", "16", "32"]),
        }
        assert suggested == {name: str(value) for name, value in values.items()}
        study.tell(trial, objective(values))


def test_bayesian_with_the_same_seed_is_the_same() -> None:
    spec = Spec("Bayesian", ALL, True, 25, seed=3)
    assert one_by_one(Search(spec)) == one_by_one(Search(spec))
    assert one_by_one(Search(spec)) != one_by_one(Search(Spec("Bayesian", ALL, True, 25, seed=4)))


def test_bayesian_looks_where_it_was_good() -> None:
    found = one_by_one(Search(Spec("Bayesian", ALL, True, 60, seed=0)))
    first, last = found[:10], found[-20:]
    assert sum(map(objective, last)) / 20 > sum(map(objective, first)) / 10 + 0.1


SPECS = [
    Spec("Bayesian", ALL, True, 30, max_parallel=5, seed=5, early_stopping=True),
    Spec("Random", ALL, False, 30, max_parallel=5, seed=5, early_stopping=True, not_improving=3),
    Spec("Hyperband", ALL, True, 30, max_parallel=5, seed=5, min_resource=1, max_resource=9),
    Spec("Grid", (BATCH, Range("x", "categorical", values=tuple("abcdefghij"))), True, 30, seed=5),
]
POINT = {"lr": "0.01", "drop": "0.1", "depth": "3", "width": "64", "batch_size": "8", "keep": "0.9"}
WARM = [Earlier(POINT, 0.8)]


def played(spec: Spec, calls: list[Any]) -> list[Any]:
    """What a search answers to calls."""
    search = Search(spec, WARM)
    return [call(search, words) for words in calls]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.strategy)
@pytest.mark.parametrize("seed", range(3))
def test_replay(spec: Spec, seed: int) -> None:
    """After any calls, a search that is told the same ones answers the same, and goes on the same."""
    search = Search(spec, WARM)
    calls, answers = disturbed(search, seed)
    assert played(spec, calls) == answers
    assert calls.count(["ask"]) == 31
    if spec.strategy != "Grid":
        assert True in answers  # something was cut
    again = Search(spec, WARM)
    for words in calls:
        call(again, words)
    assert again.ended() == search.ended()


def test_replay_in_another_process() -> None:
    """A server that was started again hashes its strings anew."""
    calls, answers = disturbed(Search(SPECS[0], WARM), 1)
    program = (
        "import json, sys\nfrom tests.embedded.test_search_samplers import SPECS, played\n"
        "print(json.dumps(played(SPECS[0], json.loads(sys.stdin.read()))))"
    )
    root = Path(__file__).resolve().parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(calls), capture_output=True, text=True, cwd=root,
        env={**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": f"{root / 'src'}"}, check=True,
    )  # fmt: skip
    assert json.loads(ended.stdout) == json.loads(json.dumps(answers))


def test_a_warm_start_is_learnt_from() -> None:
    """Twenty earlier trials: no random start, and the good place is known."""
    ranges = (Range("x", "continuous", 0.0, 1.0),)
    earlier = [Earlier({"x": str(x / 20)}, -abs(x / 20 - 0.8)) for x in range(20)]
    search = Search(Spec("Bayesian", ranges, True, 10, seed=0), earlier)
    found = [float(asked[1]["x"]) for asked in iter(search.ask, None)]
    assert sum(abs(x - 0.8) < 0.25 for x in found) >= 8
    downwards = Search(Spec("Bayesian", ranges, False, 10, seed=0), earlier)
    found = [float(asked[1]["x"]) for asked in iter(downwards.ask, None)]
    assert sum(x < 0.4 for x in found) >= 8


@pytest.mark.parametrize(
    ("parameters", "value"),
    [
        ({"lr": "0.5", "batch_size": "8"}, 1.0),
        ({"lr": "0.01", "batch_size": "64"}, 1.0),
        ({"lr": "abc", "batch_size": "8"}, 1.0),
        ({"lr": "0.01"}, 1.0),
        ({"lr": "0.01", "batch_size": "8", "depth": "3"}, 1.0),
        ({"lr": "0.01", "batch_size": "8"}, float("nan")),
        ({"lr": "0.01", "batch_size": "8"}, float("inf")),
    ],
)
def test_earlier_trials_that_do_not_fit_are_left_out(parameters: dict[str, str], value: float) -> None:
    spec = Spec("Bayesian", (LR, BATCH), True, 15, seed=2)
    with_it, without = (Search(spec, [Earlier(parameters, value)] * 12 if given else []) for given in (1, 0))
    for _ in range(15):
        asked = with_it.ask()
        assert asked is not None and asked == without.ask()
        for search in (with_it, without):
            search.tell(asked[0], float(asked[1]["lr"]))


def test_earlier_trials_at_the_ends_of_their_ranges_fit() -> None:
    earlier = [
        Earlier({"lr": "0.0001", "batch_size": "8", "keep": "0.0", "depth": "1"}, 0.1),
        Earlier({"lr": "1e-1", "batch_size": "32", "keep": "0.999", "depth": "8"}, 0.2),
    ] * 5
    spec = Spec("Bayesian", (LR, BATCH, KEEP, DEPTH), True, 1, seed=2)
    assert Search(spec, earlier).ask() != Search(spec).ask()  # ten are enough to be no random start
