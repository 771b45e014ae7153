"""AWS's smdebug hook beside ours: real tensors in SageMaker Debugger's files (extra ``smdebug``).

The library is of 2023 and knows nothing newer. What it would break silently is refused here, in words:
docs/smdebug.md has the list.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss

from sweepmaker.config.errors import ConfigError
from sweepmaker.debugger.activations import is_compiled
from sweepmaker.debugger.callback import validation_loss

KEY = "debugger.smdebug"
OFF = f"{KEY}=false: the rules need no smdebug"
CONFIG = "/opt/ml/input/config/debughookconfig.json"
_NEVER = 2**31
_OVERLAY = "make smdebug, then .venv-smdebug/bin/python train.py ..."


def load() -> Any:
    """``smdebug.pytorch``, quiet.

    Raises:
        ConfigError: it is not installed, or cannot work with this Python, NumPy or protobuf.
    """
    if sys.version_info >= (3, 13):
        raise _refusal("smdebug cannot be imported by Python 3.13", "Python 3.11 or 3.12")
    os.environ.setdefault("SMDEBUG_LOG_LEVEL", "warning")
    os.environ.setdefault("SMDEBUG_LOG_ALL_TO_STDOUT", "FALSE")
    import numpy

    if not hasattr(numpy.ndarray, "tostring"):
        raise _refusal(
            f"smdebug cannot write with NumPy {numpy.__version__}", f"NumPy before 2.3: {_OVERLAY}"
        )
    try:
        import smdebug.pytorch as smd
    except Exception as error:  # old code under new libraries raises anything
        raise _refusal(
            f"smdebug cannot be imported: {type(error).__name__}: {str(error).splitlines()[0]}",
            _OVERLAY,
        ) from error
    for handler in logging.getLogger("smdebug").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(sys.stderr)  # stdout is for results and metric lines
    return smd


def _refusal(message: str, allowed: str) -> ConfigError:
    return ConfigError(message, key=KEY, allowed=allowed, fix=OFF)


class SmdebugHook(Callback):
    """Registers the real hook on the network and the criterion, for the time of the training.

    Args:
        folder: tensors go into ``smdebug`` below it, a resumed run's into ``smdebug-2`` and so on.
        every_n_steps: optimizer steps between tensors; losses are saved at every step.

    Raises:
        ConfigError: smdebug cannot work here.
    """

    def __init__(self, folder: Path, every_n_steps: int) -> None:
        self._smd = load()
        self._folder = folder
        self._every = every_n_steps
        self._hook: Any = None
        self._network: nn.Module | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        refuse(trainer, pl_module)
        self._network = network_of(pl_module)
        hook = self._hook = self._make(trainer)
        hook.register_module(self._network)
        for criterion in _criteria(pl_module):
            hook.register_loss(criterion)

    def _make(self, trainer: Trainer) -> Any:
        configured = os.environ.get("SMDEBUG_CONFIG_FILE_PATH") or CONFIG
        if Path(configured).is_file():
            hook = self._smd.Hook.create_from_json_file(configured)
            others = set(hook.include_collections) - {"losses", "weights", "biases", "gradients"}
            if others and "bf16" in str(trainer.precision):
                named = ", ".join(sorted(others))
                raise _refusal(
                    f"smdebug cannot save bfloat16 activations, and {configured} asks for {named}",
                    "losses, weights, biases and gradients; or trainer.precision=32-true",
                )
            return hook
        mode, one = self._smd.modes, self._smd.SaveConfigMode
        # weights of validation steps are those of the step before
        sampled = self._smd.SaveConfig({
            mode.TRAIN: one(save_interval=self._every),
            mode.EVAL: one(save_interval=_NEVER, start_step=_NEVER),
        })  # fmt: skip
        hook = self._smd.Hook(
            out_dir=str(self._free(trainer)), include_collections=["losses", "weights", "gradients"],
            save_config=sampled,
        )  # fmt: skip
        hook.get_collection("losses").save_config = self._smd.SaveConfig(save_interval=1)
        return hook

    def _free(self, trainer: Trainer) -> Path:
        """A folder that is not there yet, the same in all processes: smdebug refuses any other."""
        path, number = self._folder / "smdebug", 2
        while path.exists():
            path, number = self._folder / f"smdebug-{number}", number + 1
        # the first process decides, and none makes anything in it before all of them know
        return Path(trainer.strategy.broadcast(str(path)))

    def on_train_batch_start(self, *_: Any) -> None:
        self._hook.set_mode(self._smd.modes.TRAIN)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        self._hook.record_tensor_value("train_loss", loss.detach())

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._hook is not None:
            self._hook.set_mode(self._smd.modes.EVAL)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        name = validation_loss(trainer)
        if self._hook is not None and name is not None:
            self._hook.record_tensor_value("valid_loss", trainer.callback_metrics[name].detach())

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close(
            trainer, pl_module
        )  # Lightning tears no callback down then, and readers would wait for ever

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            self._close(trainer, pl_module)

    def _close(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._hook is None:
            return
        hook, self._hook = self._hook, None
        hook.close()
        # inside a SageMaker job it does not say so itself, and its readers would wait for ever
        out = Path(hook.out_dir)
        if out.is_dir() and trainer.is_global_zero:  # only this one writes, and the others may be faster
            (out / "training_job_end.ts").touch()
        assert self._network is not None
        _strip([self._network, *_criteria(pl_module)], hook)


def refuse(trainer: Trainer, module: LightningModule) -> None:
    """Refuse what smdebug would break without a word.

    Raises:
        ConfigError: torch.compile, a bf16-true network, copies of the network, or nothing to register.
    """
    compiled = getattr(module, "_compiler_ctx", None) is not None
    if compiled or any(is_compiled(part) for part in module.modules()):
        raise _refusal("smdebug's hooks break a compiled network into many graphs", "no torch.compile")
    if str(trainer.precision) in ("bf16-true", "transformer-engine"):
        raise _refusal(f"smdebug cannot save bfloat16 weights (trainer.precision={trainer.precision})",
                       "32-true, 16-mixed or bf16-mixed")  # fmt: skip
    callbacks: Any = trainer.callbacks  # type: ignore[attr-defined]
    copying = [type(each).__name__ for each in callbacks if _averages(each)]
    if copying:
        raise _refusal(f"a copy of a network with smdebug's hooks fails in its forward pass ({copying[0]})",
                       "no callback that copies the network")  # fmt: skip
    data: Any = getattr(trainer, "datamodule", None)
    if getattr(data, "_features", None):
        raise _refusal("on cached features the network is not called at all", "data.cache=none")
    network_of(module)


def _averages(callback: Any) -> bool:
    # by name: our own average derives from Lightning's, users have theirs
    return any("WeightAveraging" in base.__name__ for base in type(callback).__mro__)


def network_of(module: LightningModule) -> nn.Module:
    """What to register: never the LightningModule, whose forward pass is not that of one batch.

    Raises:
        ConfigError: there is not one network.
    """
    parts = {name: part for name, part in module.named_children() if any(True for _ in part.parameters())}
    if len(parts) == 1:
        return next(iter(parts.values()))
    raise _refusal(
        f"smdebug counts the calls of one network, and the module has {len(parts)}: {', '.join(parts)}",
        "a LightningModule with its network in one attribute",
    )


def _criteria(module: LightningModule) -> Iterator[_Loss]:
    return (part for part in module.children() if isinstance(part, _Loss))


def _strip(roots: list[nn.Module], hook: Any) -> None:
    """Take away its hooks, which `close` leaves: copies of the network would carry them."""
    for root in roots:
        for part in root.modules():
            for hooks in (part._forward_hooks, part._forward_pre_hooks):
                for key, function in list(hooks.items()):
                    if getattr(function, "__self__", None) is hook:
                        del hooks[key]
