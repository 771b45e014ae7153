"""What the config may hold: checked right after composition, before torch is imported."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache, partial
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from sweepmaker.config import pairs
from sweepmaker.config.errors import ConfigError
from sweepmaker.config.profiler_keys import PROFILER_RULES, check_whole
from sweepmaker.config.rules import (
    AUTO,
    BOOLEAN,
    NOTHING,
    RANGE,
    SHARE,
    STATS,
    TEXT,
    Rule,
    either,
    integer,
    matching,
    node,
    number,
    one_of,
    refused,
    several,
)
from sweepmaker.config.trainer_keys import PRECISIONS, TRAINER_KEYS
from sweepmaker.metrics.line import ALLOWED, NAME

# with the rules that the job side's own keys are made of
__all__ = [
    "AUTO", "BOOLEAN", "NOTHING", "RULES", "TEXT", "TOP_LEVEL", "Rule", "either", "integer", "number",
    "one_of", "validate",
]  # fmt: skip

TOP_LEVEL = (
    "lr", "batch_size", "epochs", "seed", "image_size", "objective", "train", "test", "ckpt_path",
    "resume", "fail_fast", "estimate", "custom", "paths", "data", "model", "optimizer", "scheduler",
    "trainer", "callbacks", "logger", "debugger", "profiler",
)  # fmt: skip


# whose arguments the rules know: a class of the user's own may give a name another meaning
_KNOWN_PACKAGES = ("sweepmaker", "torch", "lightning")

NODE = node()
SEED = integer(0, 2**32 - 1)
MODE = one_of("max", "min")
TIME = matching(re.compile(r"\d+:\d\d:\d\d:\d\d"), "a time, days:hours:minutes:seconds")

RULES: dict[str, Rule] = {
    # the nodes first: a value in their place would break what refers to a key below
    "objective": node("name", "mode"),
    "data": NODE,
    "model": NODE,
    "optimizer": either(NODE, NOTHING),
    "scheduler": either(NODE, NOTHING),
    "trainer": NODE,
    "callbacks": either(NODE, NOTHING),
    "debugger": NODE,
    "logger": either(NODE, NOTHING),
    "paths": NODE,
    "custom": either(NODE, NOTHING),
    "lr": number(above=0),
    "batch_size": integer(1),
    "epochs": integer(1),
    "seed": SEED,
    "image_size": integer(8, 4096),
    "objective.name": matching(NAME, ALLOWED),  # else its metric lines could not be read
    "objective.mode": MODE,
    "train": BOOLEAN,
    "test": BOOLEAN,
    "fail_fast": BOOLEAN,
    "estimate": either(BOOLEAN, AUTO),
    "ckpt_path": either(TEXT, NOTHING),
    "resume": either(TEXT, NOTHING),
    "data.source": one_of("digits", "fashion_mnist", "folder"),
    "data.root": either(TEXT, NOTHING),
    "data.image_size": integer(8, 4096),
    "data.batch_size": integer(1),
    "data.seed": SEED,
    "data.num_workers": either(integer(0), AUTO),
    "data.on_bad_image": one_of("stop", "skip"),
    "data.splits": either(node("valid", "test"), NOTHING),
    "data.splits.valid": number(above=0, below=1),
    "data.splits.test": number(least=0, below=1),
    "data.split_seed": either(SEED, NOTHING),
    "data.stats": either(one_of("data", "imagenet"), STATS),
    "data.resize": either(integer(8), NOTHING),
    "data.augment": either(node("crop_scale", "hflip", "trivial_augment"), NOTHING),
    "data.augment.crop_scale": either(RANGE, NOTHING),
    "data.augment.hflip": number(least=0, most=1),
    "data.augment.trivial_augment": BOOLEAN,
    "data.max_pixels": integer(1),
    "data.decode": one_of("auto", "cpu", "gpu"),
    "data.cache": one_of("auto", "disk", "none"),
    "data.cache_dir": either(TEXT, NOTHING),
    "data.cache_uri": either(TEXT, NOTHING),
    "data.views": integer(0),
    "data.limit": either(node("train", "valid", "test"), NOTHING),
    "data.limit.train": either(integer(1), NOTHING),
    "data.limit.valid": either(integer(1), NOTHING),
    "data.limit.test": either(integer(1), NOTHING),
    "model.library": one_of("torchvision", "timm"),
    "model.finetune": one_of("full", "head", "blocks", "gradual"),
    "model.blocks": integer(1),
    "model.head_epochs": integer(1),
    "model.backbone_lr": number(above=0, most=1),
    "model.mixup": number(least=0),
    "model.cutmix": number(least=0),
    "model.label_smoothing": number(least=0, below=1),
    "model.name": TEXT,
    "model.dropout": either(number(least=0, below=1), NOTHING),
    "model.weights": either(TEXT, NOTHING),
    "model.weights_timeout_s": number(least=0),
    "model.optimizer": NODE,
    "model.scheduler": either(NODE, NOTHING),
    "model.scheduler_interval": one_of("auto", "step", "epoch"),
    "optimizer.lr": number(above=0),
    "optimizer.weight_decay": number(least=0),
    "optimizer.betas": several(number(least=0, below=1), 2),
    "optimizer.momentum": number(least=0, below=1),
    "optimizer.nesterov": BOOLEAN,
    "optimizer.fused": either(BOOLEAN, NOTHING),
    "scheduler.max_lr": number(above=0),
    "scheduler.pct_start": number(least=0, most=1),
    "scheduler.div_factor": number(above=0),
    "scheduler.final_div_factor": number(above=0),
    "scheduler.eta_min": number(least=0),
    "trainer.threads": either(integer(1), AUTO),
    "trainer.memory_format": one_of("auto", "channels_last", "contiguous"),
    "trainer.compile": either(TEXT, NOTHING),
    "trainer.accelerator": one_of("auto", "cpu", "gpu", "cuda", "mps"),
    "trainer.strategy": either(TEXT, NODE),
    "trainer.devices": either(
        integer(1),
        one_of("auto", -1),
        several(integer(0)),
        matching(re.compile(r"-1|\d+(,\d+)*"), "their numbers, as 1,3"),
    ),
    "trainer.num_nodes": integer(1),
    "trainer.precision": one_of("auto", *PRECISIONS),
    "trainer.max_epochs": either(integer(1), one_of(-1), NOTHING),
    "trainer.accumulate_grad_batches": integer(1),
    "trainer.gradient_clip_val": either(number(above=0), NOTHING),
    "trainer.val_check_interval": either(SHARE, TIME, node("days", "hours", "minutes", "seconds"), NOTHING),
    "trainer.check_val_every_n_epoch": either(integer(1), NOTHING),
    "trainer.limit_train_batches": either(SHARE, NOTHING),
    "trainer.limit_val_batches": either(SHARE, NOTHING),
    "trainer.limit_test_batches": either(SHARE, NOTHING),
    "trainer.overfit_batches": SHARE,
    "trainer.log_every_n_steps": either(integer(0), NOTHING),
    "trainer.num_sanity_val_steps": either(integer(-1), NOTHING),
    "trainer.deterministic": either(BOOLEAN, one_of("warn"), NOTHING),
    "trainer.benchmark": either(BOOLEAN, NOTHING),
    "trainer.enable_progress_bar": either(BOOLEAN, NOTHING),
    "trainer.enable_model_summary": either(BOOLEAN, NOTHING),
    "callbacks.best.monitor": TEXT,
    "callbacks.best.mode": MODE,
    "callbacks.resume.every_n_minutes": number(least=0),
    "callbacks.ema.decay": number(above=0, below=1),
    "callbacks.ema.update_every_n_steps": integer(1),
    "callbacks.early_stopping.monitor": TEXT,
    "callbacks.early_stopping.mode": MODE,
    "callbacks.early_stopping.patience": integer(1),
    "callbacks.early_stopping.min_delta": number(),
    **PROFILER_RULES,
}


def validate(cfg: DictConfig) -> None:
    """Check a composed training config.

    Raises:
        ConfigError: an unknown key, a wrong type or a value out of range; names key and allowed values.
    """
    _known_keys((str(key) for key in cfg), TOP_LEVEL, "")
    if isinstance(cfg.get("trainer"), DictConfig) and _is_lightnings(cfg.trainer):
        _known_keys((str(key) for key in cfg.trainer), TRAINER_KEYS, "trainer.")
    node = cache(partial(_ours, cfg))
    for key, rule in RULES.items():
        parent, _, leaf = key.rpartition(".")
        around = node(parent)
        if around is None or leaf not in around or OmegaConf.is_missing(around, leaf):
            continue
        if not rule.passes(value := around[leaf]):
            raise refused(key, value, rule)
    missing = OmegaConf.missing_keys(cfg)
    if missing:
        key = min(missing)
        raise ConfigError("is not set", key=key, fix=f"{key}=...")
    if isinstance(profiler := cfg.get("profiler"), DictConfig):
        check_whole(profiler)
    _debugger(cfg)
    pairs.check(cfg)
    _paths(cfg)


def _debugger(cfg: DictConfig) -> None:
    if "debugger" not in cfg:
        return
    from sweepmaker.debugger import settings  # NumPy, which most of the checks do without

    settings.check(OmegaConf.to_container(cfg.debugger, resolve=True))  # type: ignore[arg-type]


def _paths(cfg: DictConfig) -> None:
    """Files and folders that must be there before anything is worth starting."""
    if OmegaConf.select(cfg, "data.source") == "folder" and not OmegaConf.select(cfg, "data.cache_uri"):
        root = OmegaConf.select(cfg, "data.root")
        if not root or not Path(root).is_dir():
            raise ConfigError(
                f"{root} is not a folder" if root else "is needed: the folder with the images",
                key="data.root",
                fix="data.root=FOLDER with train/ valid/ test/ or with one folder for each class",
            )
    _cache_in_place_of_images(cfg)
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


def _cache_in_place_of_images(cfg: DictConfig) -> None:
    data = _ours(cfg, "data")
    uri = None if data is None else data.get("cache_uri")
    if data is None or not uri:
        return
    if not Path(str(uri)).is_dir():
        raise ConfigError(
            f"{uri} is not a folder",
            key="data.cache_uri",
            allowed="a folder with a cache that python data.py action=cache made; launch.py takes s3://...",
        )
    if data.get("cache") == "none":
        raise ConfigError(
            "there are no images to do without it",
            key="data.cache",
            allowed="auto or disk with data.cache_uri",
        )


def _is_lightnings(node: DictConfig) -> bool:
    return str(node.get("_target_", "")).endswith("pytorch.Trainer")


def _ours(cfg: DictConfig, path: str) -> DictConfig | None:
    """The node at ``path``; None where it is none or belongs to a class with keys of its own."""
    node = cfg
    parts = path.split(".") if path else []
    for part in parts:
        below = None if OmegaConf.is_missing(node, part) else node.get(part)
        if not isinstance(below, DictConfig):
            return None
        node = below
        target = None if OmegaConf.is_missing(node, "_target_") else node.get("_target_")
        foreign = target and str(target).partition(".")[0] not in _KNOWN_PACKAGES
        if foreign and parts[0] != "trainer":  # which has to be Lightning's or made from it
            return None
    return node


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
