"""Mistakes on the command line: one message each, exit code 2, no traceback, no torch, no folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.runs import script

# arguments -> what the message says: the key, and what to do
MISTAKES = [
    (["lrr=1"], ["lrr: there is no such key", "did you mean lr?"]),
    (
        ["model=own", "model._target_=x.Y", "model.name=x"],
        ["model.name: model=own has no such key", "+model.name=..."],
    ),
    (["data.augment.hflipp=1"], ["data.augment.hflipp", "did you mean data.augment.hflip?"]),
    (["+typo=1"], ["typo: there is no such key", "custom:"]),
    (["+trainer.max_epoch=3"], ["trainer.max_epoch", "did you mean trainer.max_epochs"]),
    (["dataa=digits"], ["dataa", "did you mean data?"]),
    (
        ["data=digitz"],
        ["there is no 'digitz'", "did you mean digits?", "digits, dogs, fashion_mnist, folder, own"],
    ),
    (["+experiment=b3"], ["there is no 'b3'", "b2, b2_dogs, b2_fashion, head"]),
    (["experiment=b2", "lr=1e-3"], ["takes a plus", "python train.py +experiment=b2 lr=1e-3"]),
    (["+data=digits"], ["data", "takes no plus"]),
    (["batch_size=0"], ["batch_size: 0 is not allowed", "a whole number from 1"]),
    (["batch_size=many"], ["batch_size: 'many'", "a whole number from 1"]),
    (["lr=-1"], ["lr: -1 is not allowed", "a number above 0"]),
    (["data.augment.crop_scale=3"], ["data.augment.crop_scale: 3 is not allowed", "low <= high <= 1"]),
    (["data.augment.crop_scale.a=3"], ["data.augment.crop_scale: is a list", "'data.augment.crop_scale=["]),
    (["data.augment=3"], ["data.augment: 3 is not allowed", "crop_scale, hflip"]),
    (["trainer.devices=0"], ["trainer.devices: 0 is not allowed", "a whole number from 1"]),
    (["trainer=3"], ["trainer: 3 is not a name", "cpu, ddp, default, gpu"]),
    (["scheduler=null"], ["scheduler: null is not a name", "cosine, none, one_cycle"]),
    (["objective=top1"], ["objective: 'top1' is not allowed", "name, mode"]),
    (["objective.name='my accuracy'"], ["objective.name: 'my accuracy' is not allowed", "letters, digits"]),
    (["lr=nan"], ["lr: nan is not allowed", "a number above 0"]),
    (["epochs=1.5"], ["epochs: 1.5", "a whole number from 1"]),
    (["objective.mode=up"], ["objective.mode: 'up'", "max, min"]),
    (["model.finetune=heads"], ["model.finetune: 'heads'", "full, head"]),
    (["data.root=/data/a=b"], ["data.root", """'data.root="/data/a=b"'"""]),
    (["data.root=/data/a,b"], ["comma", """'data.root="/data/a,b"'""", "train.py -m"]),
    (["data=folder"], ["data.root: is needed", "data.root=FOLDER"]),
    (["data=dogs", "data.root=/no/such"], ["data.root: /no/such is not a folder"]),
    (["train=false"], ["ckpt_path: is needed with train=false"]),
    (["train=false", "ckpt_path=/no/such"], ["ckpt_path: there is no /no/such"]),
    (["resume=/no/such"], ["resume: /no/such is not the folder of a run"]),
    (["model=own"], ["model._target_: is not set"]),
    (["hydra.run.dir=/etc/passwd"], ["hydra.run.dir: /etc/passwd cannot be made or written: File exists"]),
    (
        ["-m", "hydra.sweep.dir=/etc/passwd", "lr=1e-3,1e-4"],
        ["hydra.run.dir: /etc/passwd cannot be made or written"],
    ),
    (["lr"], ["'lr' is not key=value"]),
    (["lr=1e-3,3e-3"], ["train.py -m lr=1e-3,3e-3"]),
    (
        ["-m", "lr=tag(log,interval(1e-4,1e-1))", "batch_size=8,16"],
        ["python launch.py -m 'lr=tag(log,interval(1e-4,1e-1))' batch_size=8,16 where=embedded"],
    ),
    (["lr=interval(1e-4,1e-1)"], ["python launch.py -m 'lr=interval(1e-4,1e-1)' where=embedded"]),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=lambda value: " ".join(value)[:40])
def test_a_mistake_is_answered(arguments: list[str], words: list[str], tmp_path: Path) -> None:
    # a torch that cannot be imported: the answer must not need it
    (tmp_path / "torch.py").write_text(
        "raise RuntimeError('torch was imported before the config was checked')"
    )
    ended = script("train.py", *arguments, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert ended.code == 2, ended.err
    assert ended.err.startswith("error: ")
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err
    assert ended.out == ""
    assert not list(tmp_path.glob("outputs/*/*"))


def test_the_runs_before_a_bad_value_are_not_lost(tmp_path: Path) -> None:
    """In a multirun the bad one is named, the exit code says so, and nothing is half written."""
    ended = script("train.py", "-m", "lr=-1,-2", cwd=tmp_path)
    assert ended.code == 2
    assert ended.err.count("is not allowed") >= 2
    assert "Traceback" not in ended.err
