"""What the config may hold: checked right after composition, before torch is imported."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sweepmaker.config.errors import ConfigError
from sweepmaker.config.trainer_keys import TRAINER_KEYS

TOP_LEVEL = (
    "lr", "batch_size", "epochs", "seed", "image_size", "objective", "train", "test", "ckpt_path",
    "resume", "fail_fast", "custom", "paths", "data", "model", "optimizer", "scheduler", "trainer",
    "callbacks", "logger",
)  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """One key: a test of its value and the words for what passes."""

    passes: Callable[[Any], bool]
    allowed: str


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> Rule:
    """A finite number within bounds: ``above`` and ``below`` are not included."""
    words = [
        f"{word} {bound:g}"
        for word, bound in (
            ("above", above),
            ("at least", least),
            ("below", below),
            ("at most", most),
        )
        if bound is not None
    ]

    def passes(value: Any) -> bool:
        return (
            _is_number(value)
            and (above is None or value > above)
            and (least is None or value >= least)
            and (below is None or value < below)
            and (most is None or value <= most)
        )

    return Rule(passes, "a number" + (" " + " and ".join(words) if words else ""))


def integer(least: int, most: int | None = None) -> Rule:
    """A whole number from ``least`` to ``most``."""

    def passes(value: Any) -> bool:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and value >= least and (most is None or value <= most)

    return Rule(passes, f"a whole number from {least}" + (f" to {most}" if most is not None else ""))


def one_of(*values: Any) -> Rule:
    """One of a few values."""
    return Rule(lambda value: value in values, ", ".join(str(value) for value in values))


def either(*rules: Rule) -> Rule:
    """What any of the rules lets pass."""
    return Rule(
        lambda value: any(rule.passes(value) for rule in rules),
        ", or ".join(rule.allowed for rule in rules),
    )


BOOLEAN = Rule(lambda value: isinstance(value, bool), "true or false")
TEXT = Rule(lambda value: isinstance(value, str) and bool(value), "a text")
NOTHING = Rule(lambda value: value is None, "null")
AUTO = one_of("auto")

RULES: dict[str, Rule] = {
    "lr": number(above=0),
    "batch_size": integer(1),
    "epochs": integer(1),
    "seed": integer(0, 2**32 - 1),
    "image_size": integer(8, 4096),
    "objective.name": TEXT,
    "objective.mode": one_of("max", "min"),
    "train": BOOLEAN,
    "test": BOOLEAN,
    "fail_fast": BOOLEAN,
    "ckpt_path": either(TEXT, NOTHING),
    "resume": either(TEXT, NOTHING),
    "data.root": either(TEXT, NOTHING),
    "data.num_workers": either(integer(0), AUTO),
    "data.on_bad_image": one_of("stop", "skip"),
    "data.splits.valid": number(above=0, below=1),
    "data.splits.test": number(least=0, below=1),
    "data.resize": either(integer(8), NOTHING),
    "data.augment.hflip": number(least=0, most=1),
    "data.augment.trivial_augment": BOOLEAN,
    "data.max_pixels": integer(1),
    "model.library": one_of("torchvision", "timm"),
    "model.finetune": one_of("full", "head"),
    "model.label_smoothing": number(least=0, below=1),
    "model.name": TEXT,
    "model.dropout": either(number(least=0, most=1), NOTHING),
    "model.weights_timeout_s": number(least=0),
    "optimizer.weight_decay": number(least=0),
    "trainer.threads": either(integer(1), AUTO),
    "trainer.memory_format": one_of("auto", "channels_last", "contiguous"),
    "trainer.accelerator": one_of("auto", "cpu", "gpu", "cuda", "mps"),
    "trainer.accumulate_grad_batches": integer(1),
    "trainer.gradient_clip_val": either(number(above=0), NOTHING),
    "callbacks.resume.every_n_minutes": number(least=0),
    "callbacks.early_stopping.patience": integer(1),
}


def validate(cfg: DictConfig) -> None:
    """Check a composed training config.

    Raises:
        ConfigError: an unknown key, a wrong type or a value out of range; names key and allowed values.
    """
    _known_keys((str(key) for key in cfg), TOP_LEVEL, "")
    if isinstance(cfg.get("trainer"), DictConfig) and _is_lightnings(cfg.trainer):
        _known_keys((str(key) for key in cfg.trainer), TRAINER_KEYS, "trainer.")
    for key, rule in RULES.items():
        if _present(cfg, key) and not rule.passes(value := OmegaConf.select(cfg, key)):
            raise ConfigError(f"{value!r} is not allowed", key=key, allowed=rule.allowed)
    missing = OmegaConf.missing_keys(cfg)
    if missing:
        key = min(missing)
        raise ConfigError("is not set", key=key, fix=f"{key}=...")
    _paths(cfg)


def _paths(cfg: DictConfig) -> None:
    """Files and folders that must be there before anything is worth starting."""
    if OmegaConf.select(cfg, "data.source") == "folder":
        root = OmegaConf.select(cfg, "data.root")
        if not root or not Path(root).is_dir():
            raise ConfigError(
                f"{root} is not a folder" if root else "is needed: the folder with the images",
                key="data.root",
                fix="data.root=FOLDER with train/ valid/ test/ or with one folder for each class",
            )
    if cfg.ckpt_path and not Path(cfg.ckpt_path).exists():
        raise ConfigError(
            f"there is no {cfg.ckpt_path}",
            key="ckpt_path",
            allowed="a checkpoint file or a run folder",
        )
    if not cfg.train and cfg.test and not cfg.ckpt_path:
        raise ConfigError(
            "is needed with train=false",
            key="ckpt_path",
            fix="ckpt_path=<a checkpoint or a run folder>",
        )


def _is_lightnings(node: DictConfig) -> bool:
    return str(node.get("_target_", "")).endswith("pytorch.Trainer")


def _present(cfg: DictConfig, key: str) -> bool:
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    return isinstance(node, DictConfig) and leaf in node and not OmegaConf.is_missing(node, leaf)


def _known_keys(keys: Iterable[str], known: Iterable[str], prefix: str) -> None:
    known = tuple(known)
    for key in keys:
        if key in known:
            continue
        close = get_close_matches(key, known, n=3, cutoff=0.6)
        hint = "did you mean " + " or ".join(prefix + name for name in close) + "?" if close else ""
        raise ConfigError(
            "there is no such key" + (f"; {hint}" if hint else ""),
            key=prefix + key,
            allowed=", ".join(known),
            fix=f"correct {prefix + key}" + ("" if prefix else ", or put keys of your own under custom:"),
        )
