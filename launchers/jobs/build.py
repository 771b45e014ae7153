"""From the composed config to a plan: names, places and images filled in, limits checked."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from launchers.aws import account, images
from launchers.aws.clients import Clients, connect
from launchers.aws.storage import Storage, Upload, open_storage
from launchers.jobs import bundle, dataset, keys, managed, packages, request, weights
from launchers.jobs.operations import OPERATIONS
from launchers.jobs.plan import Plan, instance_hours, megabytes
from launchers.jobs.request import Parts
from launchers.jobs.strategy import Search
from launchers.limits import has_local_storage
from sweepmaker.config.choices import Choices

CHECKOUT = Path(__file__).resolve().parents[2]
_BUNDLE = "sourcedir.tar.gz"


class Builder:
    """Makes the plan of one launch, and the uploads that it needs.

    Args:
        cfg: of the launch: ``where``, ``job``, ``objective``.
        trial: of the first trial.
        choices: gets what is chosen here, with reasons.
    """

    def __init__(self, cfg: DictConfig, trial: DictConfig, choices: Choices) -> None:
        self.cfg = cfg
        self.trial = trial
        self.choices = choices
        self._where = request.plain(cfg.where)
        self._data = request.plain(trial.data)
        self._weights = weights.find(trial)
        self._parts: Parts | None = None
        self._make: Callable[[Parts], dict[str, Any]] | None = None
        self._fill_in()

    def tuning(self, search: Search, lines: Sequence[str], swept: Mapping[str, int]) -> Plan:
        """The plan of a tuning job whose trials have ``lines`` in common, around the swept keys' places."""
        return self._plan(
            "create_hyper_parameter_tuning_job",
            lambda parts: request.tuning_request(self._objective_of_trial(), search, parts),
            lines,
            search.jobs,
            search,
            swept,
        )

    def training(self, lines: Sequence[str]) -> Plan:
        """The plan of one training job."""

        def make(parts: Parts) -> dict[str, Any]:
            made = request.training_request(self._objective_of_trial(), parts)
            if self.cfg.debugger.managed:
                made |= managed.fields(f"{parts.root}/debugger/", self._region)
            return made

        return self._plan("create_training_job", make, lines, 1)

    def upload(self, plan: Plan) -> tuple[Clients, Plan]:
        """Everything that the job reads, put where its request says.

        Returns:
            the clients to send it with, and the plan with the places that are known now.

        Raises:
            UserError: AWS or the bucket refuse, the data can't be read.
        """
        assert self._parts is not None and self._make is not None
        if missing := [key for key in ("role", "bucket") if not self.cfg.where[key]]:
            raise account.unset(missing, "the job runs")
        clients = connect(self._where)
        storage = open_storage(clients)
        storage.check()
        channels = dict(self._parts.channels)
        place = dataset.ensure(self._data, storage, self.cfg.where.prefix)
        if place is not None:
            channels[place.channel] = place.uri
        self._put(storage, [*self._weights.uploads(self.cfg.where.prefix), plan.code])
        made = self._make(replace(self._parts, channels=channels))
        keys.check(plan.operation, made)
        return clients, replace(plan, request=made)

    def _put(self, storage: Storage, uploads: Sequence[Upload]) -> None:
        for upload in uploads:
            sent = storage.put(upload)
            print(f"{'uploaded' if sent else 'there already'}: {upload.what}", file=sys.stderr)

    def _plan(
        self,
        operation: str,
        make: Callable[[Parts], dict[str, Any]],
        lines: Sequence[str],
        trials: int,
        search: Search | None = None,
        swept: Mapping[str, int] | None = None,
    ) -> Plan:
        hours = instance_hours(self.cfg, trials)
        where, job = self.cfg.where, self.cfg.job
        place = dataset.preview(self._data, self._bucket, where.prefix)
        code = bundle.build(
            CHECKOUT, lines, self._channel_keys(place), swept=swept, packages=job.packages,
            include_untracked=job.include_untracked, max_mb=job.max_bundle_mb, python=images.PYTHON,
            download=not self.cfg.dry_run,
        )  # fmt: skip
        for note in code.notes:
            print(note, file=sys.stderr)
        key = f"{where.prefix.strip('/')}/code/{code.sha256[:32]}/{_BUNDLE}"
        upload = Upload(
            key, code.data, len(code.data), "code and config", hashlib.sha256(code.data).hexdigest()
        )
        self._parts = self._all_parts(
            operation, key, place, code, repr(search.space.ranges) if search else ""
        )
        self._make = make
        made = make(self._parts)
        keys.check(operation, made)
        data = self._weights.lines()
        if place is not None and place.files:
            data.append(f"{place.files} images, at most {megabytes(place.size)} -> {place.uri}")
        return Plan(operation, made, upload, trials, hours, data)

    def _all_parts(
        self, operation: str, key: str, place: dataset.Place | None, code: bundle.Bundle, searched: str
    ) -> Parts:
        where, job = self.cfg.where, self.cfg.job
        root = f"s3://{self._bucket}/{where.prefix.strip('/')}"
        channels = {} if place is None else {place.channel: place.uri}
        channels |= self._weights.channel(root)
        known = OPERATIONS[operation]
        instance = job.instances[0].type if job.instances else job.instance_type
        image = job.image
        if image == "auto":
            image = images.training_image(self._region, instance, str(job.torch))
            self.choices.add("job.image", image.partition("/")[2], f"AWS's PyTorch image for {instance}")
        if where.kms_key and has_local_storage(instance):
            self.choices.add("volume key", None, f"the local disks of {instance} are encrypted by themselves")
        return Parts(
            name=account.mint_name(job.name or "sweepmaker", datetime.now(), longest=known.longest),
            image=image,
            role=self._role,
            root=root,
            code=f"s3://{self._bucket}/{key}",
            code_channel=job.code == "channel" or (job.code == "auto" and _needs_channel(self.cfg)),
            channels=channels,
            environment=packages.environment(job.packages),
            tags={
                "sweepmaker:commit": code.commit[:12] + ("-dirty" if code.dirty else ""),
                "sweepmaker:config": self._config_hash(searched),
                **{str(name): str(value) for name, value in (job.tags or {}).items()},
            },
        )

    def _channel_keys(self, place: dataset.Place | None) -> dict[str, str]:
        keys = {"data": "data.root", "cache": "data.cache_uri"}
        return ({place.channel: keys[place.channel]} if place is not None else {}) | self._weights.key()

    def _config_hash(self, searched: str) -> str:
        text = OmegaConf.to_yaml(self.trial, sort_keys=True) + searched
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _objective_of_trial(self) -> DictConfig:
        """The launch's config with what an experiment of the trial set."""
        cfg = self.cfg.copy()
        cfg.objective = self.trial.objective
        return cfg

    def _fill_in(self) -> None:
        """Well-formed placeholders for what a dry run has no need of, each with a line that says so."""
        place = account.fill_in(self.cfg.where)
        self._region, self._role, self._bucket = place.region, place.role, place.bucket
        if place.missing and self.cfg.dry_run:
            print(f"not set, shown as placeholders: {', '.join(place.missing)}", file=sys.stderr)


def _needs_channel(cfg: DictConfig) -> bool:
    # an own image has no AWS package that could fetch the code; without network nothing can
    return bool(cfg.where.network_isolation or cfg.job.packages == "image")
