"""The debugger changes nothing that is trained, and a resumed run finds what an unbroken one does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback
from omegaconf import OmegaConf

from sweepmaker.debugger import settings, store
from sweepmaker.debugger.callback import METRIC, Debugger
from tests.run.fits import Fit, Moment, differences, result
from tests.run.nets import Everything, Manual, Net

pytestmark = [
    pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore:.*(Checkpoint directory|ModelCheckpoint|max_epochs).*:UserWarning"),
]

CONF = Path(__file__).parents[2] / "conf" / "debugger"


class Freed(Net):
    """Its first layer trains from the second epoch on."""

    def __init__(self) -> None:
        super().__init__()
        self.layers[0].requires_grad_(False)

    def on_train_epoch_start(self) -> None:
        self.layers[0].requires_grad_(self.current_epoch > 0)

    on_train_start = on_train_epoch_start


FITS: dict[str, dict[str, Any]] = {
    "plain": {},
    "all ways to sum": {"module": Everything},
    "accumulated gradients across a validation": {
        "trainer": {"accumulate_grad_batches": 3, "val_check_interval": 0.5}
    },
    "no validation": {"objective": "train/mean", "trainer": {"limit_val_batches": 0}},
    "one cycle": {"module": lambda: Net("one_cycle")},
    "manual optimization": {"module": Manual},
    "layers that are freed": {"module": Freed},
}


def debugger(folder: Path, preset: str = "aws") -> Debugger:
    node: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{preset}.yaml"))
    return Debugger(settings.check(node | {"every_n_steps": 2, "first_steps": 3}), folder / "debugger")


def watched(name: str, folder: Path) -> Fit:
    def callbacks() -> list[Callback]:
        return [debugger(folder)]

    return Fit(**{**FITS[name], "callbacks": callbacks})


def seen(folder: Path) -> tuple[Any, list[Any]]:
    records = list(store.read(folder / "debugger" / store.NAME))
    for record in records:
        record.pop("seconds", None)
        record.pop("gap_s", None)
    return json.loads((folder / "debugger" / "findings.json").read_text()), records


def without_debugger(outcome: dict[str, Any]) -> dict[str, Any]:
    outcome["callbacks"] = {
        name: state for name, state in outcome["callbacks"].items() if "Debugger" not in name
    }
    outcome["sums"]["shown"].pop(METRIC, None)
    header = outcome["rows"][0]
    if METRIC in header:
        place = header.index(METRIC)
        outcome["rows"] = [row[:place] + row[place + 1 :] for row in outcome["rows"]]
    return outcome


@pytest.mark.parametrize("name", FITS)
def test_nothing_that_is_trained_changes(name: str, tmp_path: Path) -> None:
    for part, fit in (("without", Fit(**FITS[name])), ("with", watched(name, tmp_path / "with"))):
        (tmp_path / part).mkdir()
        fit.run(tmp_path / part)
    assert len(seen(tmp_path / "with")[1]) > 4
    outcomes = [without_debugger(result(tmp_path / part)) for part in ("without", "with")]
    assert differences(*outcomes) == []


@pytest.mark.slow
@pytest.mark.parametrize("kill", [False, True], ids=["asked to end", "killed"])
@pytest.mark.parametrize("name", FITS)
def test_resumed_at_every_moment_it_finds_the_same(name: str, kill: bool, tmp_path: Path) -> None:
    folders = tmp_path / "whole", tmp_path / "broken"
    for folder in folders:
        folder.mkdir()
    whole, broken = (watched(name, folder) for folder in folders)
    for fit in (whole, broken):
        fit.every_n_minutes = 1e-9 if kill else 0
    whole.run(folders[0])
    met: set[Moment] = set()
    while (moment := broken.run(folders[1], lambda moment: moment not in met, kill=kill).moment) is not None:
        met.add(moment)
    assert len(met) > 5
    expected, records = seen(folders[0])
    assert any(rule["count"] for rule in expected["rules"].values()), "nothing found: nothing to lose"
    assert differences([expected, records], list(seen(folders[1]))) == []
    outcomes = [result(folder) for folder in folders]
    for outcome in outcomes:  # how many bytes: with another time in it a record has another length
        for state in outcome["callbacks"].values():
            state.pop("size", None)
    assert differences(*outcomes) == []
