"""One training run: build, fit, test, export. The config is checked and torch may be loaded."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, ProgressBar
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from sweepmaker.callbacks import MetricLines, Objective, ResumeCheckpoint
from sweepmaker.callbacks.progress import progress_callback
from sweepmaker.config.choices import Choices
from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.data import ImageDataModule
from sweepmaker.debugger import build as watching
from sweepmaker.profiler.early import Early
from sweepmaker.profiler.session import Profiling
from sweepmaker.run import artifact, auto, build, checkpoints, evaluation, interrupt, oversize
from sweepmaker.run.csv_logger import MetricsCSV
from sweepmaker.run.estimate import EstimateEpochs
from sweepmaker.run.features import use_features
from sweepmaker.run.folder import RunFolder
from sweepmaker.run.record import RunRecord

log = logging.getLogger(__name__)


class Run:
    """The parts of one run, built from its config."""

    def __init__(
        self, cfg: DictConfig, folder: RunFolder, choices: Choices, profiling: Profiling | None = None
    ) -> None:
        self.cfg = cfg
        self.folder = folder
        self.choices = choices
        self.profiling = profiling or Profiling(cfg, folder.path, None)
        torch.set_num_threads(choices.as_dict()["threads"]["value"])
        arguments, channels_last = auto.trainer_arguments(cfg, choices)
        seed_everything(cfg.seed, workers=True, verbose=False)
        self.checkpoint = _where_to_continue(folder) if cfg.train else None
        self._resume = folder.path if cfg.train else None
        self.data = self._build_data(str(arguments["accelerator"]))
        self.model = self._build_model(channels_last)
        self.csv = MetricsCSV(folder.metrics, self._resume)
        self.objective = Objective(cfg.objective.name, cfg.objective.mode)
        fresh = (self.weights(None) or {}).get("source", "scratch") == "scratch"
        self.watchers = watching.callbacks(cfg, folder, self._resume, fresh=fresh)
        self.trainer = self._build_trainer(arguments)
        self.profiling.attach(self.trainer)
        if cfg.train and getattr(self.model, "head_only", False):
            self._load_backbone()
            use_features(self.model, self.data, self.trainer, choices)
            watching.choose_interval(self.watchers, choices)

    def _build_data(self, accelerator: str) -> LightningDataModule:
        data = build.instantiate(self.cfg.data, "data", LightningDataModule)
        if hasattr(data, "choices"):
            data.choices = self.choices
        if isinstance(data, ImageDataModule):
            data.will_train_on(accelerator)  # what it chooses depends on it, and there is no trainer yet
        data.prepare_data()
        data.setup("fit")
        return data

    def _build_model(self, channels_last: bool) -> LightningModule:
        classes = getattr(self.data, "num_classes", None)
        extra: dict[str, Any] = {} if classes is None else {"num_classes": classes}
        if self.checkpoint is not None or self.cfg.ckpt_path:
            extra |= self._without_weights()
        model = build.instantiate(self.cfg.model, "model", LightningModule, **extra)
        net: Any = model
        if channels_last and hasattr(net, "channels_last"):  # a module of the user's own stays as it is
            net.to(memory_format=torch.channels_last).channels_last = True
        auto.compile_network(model, self.cfg.trainer.get("compile"))
        return model

    def _load_backbone(self) -> None:
        """Before the features are looked for: they follow from the weights that training starts with."""
        if self.checkpoint is not None:
            saved = checkpoints.read(self.checkpoint)
            # with averaged weights the others are those that training goes on with
            self.model.load_state_dict(saved.get("current_model_state", saved["state_dict"]))
        elif self.cfg.ckpt_path:
            evaluation.load_weights(self.model, str(self.cfg.ckpt_path))

    def _without_weights(self) -> dict[str, Any]:
        """Arguments that keep the model from fetching weights that a checkpoint replaces at once."""
        arguments = getattr(build.target_of(self.cfg.model, "model"), "arguments_before_checkpoint", None)
        return arguments(self.cfg.model) if callable(arguments) else {}

    def weights(self, earlier: dict[str, Any] | None) -> dict[str, Any] | None:
        """What the weights began from; ``earlier``: as the process knew it that this one continues."""
        if self.checkpoint is not None:
            return earlier or {"source": "checkpoint", "path": str(self.checkpoint)}
        if self.cfg.ckpt_path:
            file = evaluation.checkpoint_file(Path(self.cfg.ckpt_path))
            return {"source": "checkpoint", "path": str(file.absolute())}
        return getattr(self.model, "weights_", None)

    def _build_trainer(self, arguments: dict[str, Any]) -> Trainer:
        own: list[Callback] = [*self.watchers, self.objective, MetricLines(), *self.profiling.callbacks()]
        if arguments.get("enable_progress_bar"):
            own.append(progress_callback())
            arguments["enable_progress_bar"] = isinstance(own[-1], ProgressBar)
        callbacks = [*own, *build.instantiate_all(self.cfg.callbacks, "callbacks", Callback)]
        if isinstance(self.data, ImageDataModule):
            wanted = None if self.cfg.estimate == "auto" else bool(self.cfg.estimate)
            callbacks.append(EstimateEpochs(wanted, self.data.say))
        if not any(isinstance(callback, ResumeCheckpoint) for callback in callbacks):
            callbacks.append(ResumeCheckpoint(str(self.folder.checkpoints)))
        others: list[Logger] = build.instantiate_all(self.cfg.logger, "logger", Logger)  # type: ignore[type-abstract]
        if hasattr(self.data, "position"):
            arguments.setdefault("use_distributed_sampler", False)  # its sampler shares the work out itself
        extra: dict[str, Any] = (
            {} if arguments.get("plugins") else {"plugins": [checkpoints.PlainCheckpoints(self._resume)]}
        )
        if not arguments.get("profiler"):
            extra["profiler"] = self.profiling.phases
        return build.instantiate(
            OmegaConf.create(arguments), "trainer", Trainer, callbacks=callbacks, logger=[self.csv, *others],
            default_root_dir=str(self.folder.path), **extra,
        )  # fmt: skip


def _where_to_continue(folder: RunFolder) -> Path | None:
    """The checkpoint of ``folder`` from which its run goes on; None where it has to begin."""
    checkpoints.settle(folder.checkpoints)
    found = checkpoints.load_latest(folder.checkpoints)
    if found is None:
        return None
    path, saved = found
    place = saved[checkpoints.EXTRA]
    log.info("continuing from %s: epoch %d, batch %d", path.name, place["epoch"], place["batch"])
    return path


def train(
    cfg: DictConfig,
    folder: RunFolder,
    record: RunRecord | None,
    choices: Choices,
    early: Early | None = None,
) -> float | None:
    """Fit, test and export as ``cfg`` says, keeping ``record`` up to date.

    Args:
        cfg: a checked config (`sweepmaker.config.schema`).
        folder: where everything is written.
        record: run.json; None in a process that is not the run's main one.
        choices: gets the automatic choices.
        early: has read the machine since the run began.

    Returns:
        the best value of the objective; None where nothing was trained.

    Raises:
        UserError: something that the user can mend.
        Interrupted: a signal asked for an end; what was done is saved.
    """
    profiling = Profiling(cfg, folder.path, record.began if record is not None else None, early)
    state = "failed"
    try:
        with _quiet_lightning():
            run = Run(cfg, folder, choices, profiling)
            _describe(run, record)
            if cfg.train:
                ended = _fit(run, record)
                _finish_fit(run, record)
            if cfg.test:
                evaluation.test(run.trainer, run.model, run.data, cfg, folder)
            state = ended if cfg.train else "completed"
    except MisconfigurationException as error:
        raise ConfigError(str(error), key="trainer") from error
    except interrupt.Interrupted:
        state = "interrupted"
        interrupt.finish()  # it is being dealt with: the report takes less than a second
        raise
    except (RuntimeError, ValueError) as error:
        if (known := oversize.explained(error, cfg)) is None:
            raise
        raise known from error
    finally:
        if state == "failed" and interrupt.requested() is not None:
            state = "interrupted"  # the signal may break something that raises an error of its own
            interrupt.finish()
        profiling.finish(state)
    if record is not None:
        record.end(state)
    return run.objective.best


def _describe(run: Run, record: RunRecord | None) -> None:
    threads = run.choices.as_dict()["threads"]["value"]
    if record is None:
        run.profiling.watch(run.trainer, run.data, threads, auto.gpu_names())
        return
    describe = getattr(run.data, "describe", None)
    record.update(
        weights=run.weights(record.fields["weights"]),
        choices=run.choices.as_dict(),
        data=describe() if callable(describe) else {"source": str(run.cfg.data.get("_target_"))},
        hardware={**record.fields["hardware"], "gpus": auto.gpu_names()},
    )
    run.profiling.watch(run.trainer, run.data, threads, record.fields["hardware"]["gpus"])


def _fit(run: Run, record: RunRecord | None) -> str:
    """Fit, from a checkpoint of this folder if there is one; the state that the run ends in."""
    start = None if run.checkpoint is None else str(run.checkpoint)
    if start is None and run.cfg.ckpt_path:
        evaluation.load_weights(run.model, run.cfg.ckpt_path)
    earlier = record.fields["timing"]["fit_seconds"] if record is not None else 0.0
    try:
        with interrupt.deferred():
            run.trainer.fit(run.model, datamodule=run.data, ckpt_path=start, weights_only=True)
    finally:
        if record is not None:
            record.timing(**run.profiling.clock.as_dict(earlier))
    if (why := watching.stopped(run.watchers)) is not None:
        if record is not None:
            record.update(stopped_by=why)
        return "stopped"
    epochs = run.trainer.current_epoch
    return "stopped" if epochs < (run.trainer.max_epochs or 0) else "completed"


def _finish_fit(run: Run, record: RunRecord | None) -> None:
    if record is None:
        return
    objective = {"name": run.objective.name, "mode": run.objective.mode, "value": run.objective.best,
                 "epoch": run.objective.epoch}  # fmt: skip
    record.update(objective=objective)
    if run.objective.best is None and record.fields.get("stopped_by"):
        log.warning("stopped before %s had a finite value: there is no model", run.objective.name)
        return
    if run.objective.best is None:
        raise UserError(
            f"{run.objective.name} was never logged with a finite value, so there is no best model",
            key="objective.name",
            fix="objective.name=<a metric of the validation>, or data with a validation split",
        )
    best = evaluation.best_checkpoint(run.trainer)
    artifact.export(run.folder.model, run.model, run.data, run.cfg, best)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Without Lightning's advice on choices that this program makes and explains itself."""
    # Lightning brings handlers of its own; with Hydra's every line would come twice
    for part in ("lightning", "lightning.pytorch"):
        logging.getLogger(part).handlers.clear()
    names = ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for text in (".*does not have many workers.*", ".*is smaller than the logging interval.*",
                     ".*Checkpoint directory .* exists.*", ".*module.s. in eval mode.*",
                     ".*your dataloader is not resumable.*",  # ours begins at its `position`
                     ".*LeafSpec.*", ".*Trying to infer the .batch_size.*"):  # fmt: skip
            warnings.filterwarnings("ignore", message=text)
        yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)
