"""The sums of an unfinished epoch: torchmetrics states, what Lightning's ``self.log`` adds up, and the
gradients of an unfinished step.

Lightning's checkpoints hold none of it, so an epoch resumed in the middle would report the metrics of
its second half. Works for any LightningModule; ``self.log``'s sums live in a private collection of
Lightning's, which is why pyproject.toml bounds its version and a test keeps this true.
"""

from __future__ import annotations

import builtins
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.connectors.logger_connector.result import (
    _Metadata,
    _ResultCollection,
    _ResultMetric,
    _Sync,
)
from torchmetrics import Metric, MetricCollection

_META_FIELDS = (
    "fx", "name", "prog_bar", "logger", "on_step", "on_epoch", "enable_graph",
    "add_dataloader_idx", "dataloader_idx", "metric_attribute",
)  # fmt: skip


def capture(trainer: Trainer, module: LightningModule) -> dict[str, Any]:
    """A copy of the running sums, made of tensors, numbers and strings."""
    loop = trainer.fit_loop.epoch_loop
    # those of a validation that has just ended, which Lightning is about to reset
    done = {id(entry.value) for entry in loop.val_loop._results.values() if not entry.is_tensor}
    return {
        "metrics": _capture_metrics(module, done),
        "logged": _capture_logged(loop._results),
        "shown": {name: value.detach().cpu().clone() for name, value in trainer.callback_metrics.items()},
        "gradients": _gradients(module) if loop._should_accumulate() else {},
    }


def restore(trainer: Trainer, module: LightningModule, sums: dict[str, Any]) -> None:
    """Put the sums back, so that the epoch goes on as if it had never been interrupted."""
    metrics = {name: part for name, part in module.named_modules() if isinstance(part, Metric)}
    for name, saved in sums["metrics"].items():
        if name in metrics:
            _restore_metric(metrics[name], saved)
    results = trainer.fit_loop.epoch_loop._results
    for key, entry in sums["logged"].items():
        results[key] = _restore_logged(trainer, module, entry)
    shown = {name: value.to(module.device) for name, value in sums["shown"].items()}
    trainer._logger_connector._callback_metrics.update(shown)
    for name, parameter in module.named_parameters():
        if name in sums["gradients"]:
            parameter.grad = sums["gradients"][name].to(parameter.device)


def _gradients(module: LightningModule) -> dict[str, torch.Tensor]:
    return {
        name: parameter.grad.detach().cpu().clone()
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }


def _capture_metrics(module: LightningModule, left_out: set[int]) -> dict[str, Any]:
    for part in module.modules():
        if isinstance(part, MetricCollection):
            # metrics that share a state only have it up to date after this public accessor
            list(part.items(keep_base=True, copy_state=False))
    # the states first: a metric that puts work off may do it, and count it, when they are asked for
    found = {
        name: (part.metric_state, part)
        for name, part in module.named_modules()
        if isinstance(part, Metric) and id(part) not in left_out
    }
    return {
        name: {"state": _copy(state), "updates": part._update_count}
        for name, (state, part) in found.items()
        if part._update_count
    }


def _restore_metric(metric: Metric, saved: dict[str, Any]) -> None:
    for name, value in saved["state"].items():
        moved = (
            [entry.to(metric.device) for entry in value]
            if isinstance(value, list)
            else value.to(metric.device)
        )
        setattr(metric, name, moved)
    metric._update_count = saved["updates"]
    metric._computed = None


def _copy(state: dict[str, Any]) -> dict[str, Any]:
    return {
        name: [entry.detach().cpu().clone() for entry in value]
        if isinstance(value, list)
        else value.detach().cpu().clone()
        for name, value in state.items()
    }


def _capture_logged(results: _ResultCollection) -> dict[str, Any]:
    return {
        key: {
            "meta": {field: getattr(entry.meta, field) for field in _META_FIELDS},
            "reduce": entry.meta.reduce_fx.__name__,
            "builtin": entry.meta.reduce_fx in (sum, min, max),
            "sync": entry.meta.sync.should,
            "rank_zero_only": entry.meta.sync.rank_zero_only,
            "is_tensor": entry.is_tensor,
            "state": _copy(entry.metric_state) if entry.is_tensor else {},
            "updates": entry._update_count,
        }
        for key, entry in results.items()
        if not entry.has_reset
    }


def _restore_logged(trainer: Trainer, module: LightningModule, entry: dict[str, Any]) -> _ResultMetric:
    reduce_fx = getattr(builtins if entry["builtin"] else torch, entry["reduce"])
    meta = _Metadata(**entry["meta"], reduce_fx=reduce_fx)
    meta.sync = _Sync(
        _should=entry["sync"],
        fn=trainer.strategy.reduce,
        _group=None,
        rank_zero_only=entry["rank_zero_only"],
    )
    result = _ResultMetric(meta, entry["is_tensor"]).to(module.device)
    result.has_reset = False
    if entry["is_tensor"]:
        _restore_metric(result, entry)
    else:
        result.value = module.get_submodule(entry["meta"]["metric_attribute"])
        result._update_count = entry["updates"]
    return result
