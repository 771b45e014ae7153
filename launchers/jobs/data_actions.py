"""What ``data.py`` does: check, stats, cache, upload; each returns the JSON to print."""

from __future__ import annotations

import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from launchers.aws.storage import PLACEHOLDER_BUCKET, Storage, Upload, open_storage
from launchers.aws.upload_progress import readable
from launchers.jobs import dataset
from sweepmaker.config import argv, schema
from sweepmaker.config.errors import ConfigError, DataError

_OWN_KEYS = ("action", "where", "dry_run")


def run(cfg: DictConfig) -> dict[str, Any]:
    """Do what ``cfg.action`` says; the result fits into JSON.

    Raises:
        ConfigError: an unknown action, a wrong value, data of another kind than ours.
        DataError: bad images with ``data.on_bad_image=stop`` (a check leaves that to `judge`).
        UserError: S3.
    """
    if cfg.action not in ACTIONS:
        near = get_close_matches(str(cfg.action), ACTIONS, n=1)
        raise ConfigError(
            f"{cfg.action!r} is unknown",
            key="action",
            allowed=", ".join(ACTIONS),
            fix=f"action={near[0]}" if near else None,
        )
    if not isinstance(cfg.dry_run, bool):
        raise ConfigError(f"{cfg.dry_run!r} is not allowed", key="dry_run", allowed="true or false")
    _check_training_side(cfg)
    return ACTIONS[cfg.action](cfg)


def judge(result: dict[str, Any], cfg: DictConfig) -> None:
    """After a check's result was printed: would training end with an error on these data?

    Raises:
        DataError: there are bad images, and ``data.on_bad_image`` is ``stop``.
    """
    bad = result.get("bad")
    if bad and cfg.data.on_bad_image != "skip":
        raise DataError(
            f"{len(bad)} bad image(s), listed above",
            fix="mend or remove the file(s), or data.on_bad_image=skip to leave them out of training",
        )


def _check(cfg: DictConfig) -> dict[str, Any]:
    module = _module(cfg, on_bad_image="skip")
    from sweepmaker.data import report

    return report.check(module)


def _stats(cfg: DictConfig) -> dict[str, Any]:
    module = _module(cfg, stats="data")
    from sweepmaker.data import report

    return report.statistics(module)


def _cache(cfg: DictConfig) -> dict[str, Any]:
    uri = cfg.data.get("cache_uri")
    if uri is not None and not str(uri).startswith("s3:"):
        raise ConfigError(
            f"{uri} is a folder of this machine",
            key="data.cache_uri",
            allowed="s3://BUCKET/FOLDER, where action=cache sends the file",
            fix=argv.word("data.cache_dir", uri),
        )
    if uri is not None:
        uri = dataset.folder_uri(str(uri), "data.cache_uri")
    module = _module(cfg, cache="disk", cache_uri=None)
    from sweepmaker.data import report

    result = report.cache(module)
    return (
        result if uri is None else result | _send_cache(cfg, uri, Path(result["file"]), result["fingerprint"])
    )


def _send_cache(cfg: DictConfig, uri: str, file: Path, fingerprint: str) -> dict[str, Any]:
    """The cache put into S3, where jobs get it in the place of the images.

    Raises:
        ConfigError: a cache of other data lies in that folder.
    """
    from launchers.aws.clients import connect

    bucket, _, folder = uri.removeprefix("s3://").partition("/")
    where = cfg.where.copy()
    with open_dict(where):
        where.bucket = bucket
    upload = Upload(f"{folder}{file.name}", file, file.stat().st_size, f"cache {file.name}")
    if cfg.dry_run:
        _say(f"would upload {upload.what}, {readable(upload.size)}, if it is not there yet")
        return {"uri": f"{uri}{file.name}", "sent": 0}
    storage = open_storage(connect(where))
    storage.check()
    _refuse_others(storage, folder, upload.key, fingerprint)
    return {"uri": f"{uri}{file.name}", "sent": int(storage.put(upload))}


def _refuse_others(storage: Storage, folder: str, own: str, fingerprint: str) -> None:
    """A job gets all that is in the folder, and could not tell which of several data sets is meant."""
    from sweepmaker.data.cache import blob

    for key, size in storage.sizes(f"{folder}pixels-").items():
        name = key.removeprefix(folder)
        if key == own or "/" in name or not name.endswith(".cache"):
            continue
        try:
            about = blob.about_of(storage.tail(key, blob.TAIL) if size else b"")
        except blob.Damaged as error:
            what = f"cannot be used: {error}"
        else:
            if about.get("fingerprint") == fingerprint:
                continue  # of other sizes or splits
            what = "is a cache of other data, or of these before they changed"
        raise ConfigError(
            f"{storage.uri(key)} {what}",
            key="data.cache_uri",
            allowed="a folder for each data set",
            fix=f"data.cache_uri={storage.uri(f'{folder}{fingerprint[:16]}')}, or remove that file",
        )


def _upload(cfg: DictConfig) -> dict[str, Any]:
    if cfg.dry_run:
        return _would_upload(cfg)
    root = dataset.local_root(cfg.data)
    if root is None:
        return _nothing_to_upload(cfg)
    from launchers.aws.clients import connect

    storage = open_storage(connect(cfg.where))
    place = dataset.ensure(cfg.data, storage, cfg.where.prefix)
    assert place is not None  # it has a local root
    if not place.sent:
        _say(f"{place.files} file(s), {readable(place.size)}: all there already")
    return {
        "uri": place.uri,
        "fingerprint": place.fingerprint,
        "files": place.files,
        "bytes": place.size,
        "sent": place.sent,
    }


def _would_upload(cfg: DictConfig) -> dict[str, Any]:
    root = dataset.local_root(cfg.data)
    if root is None:
        return _nothing_to_upload(cfg)
    bucket = cfg.where.bucket
    if not bucket:
        bucket = PLACEHOLDER_BUCKET
        _say(f"where.bucket is not set: {bucket} stands for it")
    found = dataset.look(cfg.data, root, cfg.where.prefix)
    _say(
        f"would upload {len(found.uploads)} file(s), {readable(found.size)}, as far as they are not there yet"
    )
    return {
        "uri": f"s3://{bucket}/{found.folder}",
        "fingerprint": found.fingerprint,
        "files": len(found.uploads),
        "bytes": found.size,
        "uploads": [{"key": each.key, "bytes": each.size} for each in (*found.uploads, found.manifest)],
    }


def _nothing_to_upload(cfg: DictConfig) -> dict[str, Any]:
    place = dataset.preview(cfg.data, "", "")
    if place is not None:
        key = "data.root" if place.channel == "data" else "data.cache_uri"
        _say(f"{key} is in S3 already; a launch uses it as it is")
        return {"uri": place.uri, "sent": 0}
    raise ConfigError(
        f"there is nothing to upload for {cfg.data.get('source') or cfg.data._target_}: "
        "a job has this data without it",
        key="data",
        fix="data=folder data.root=FOLDER",
    )


def _module(cfg: DictConfig, **settings: Any) -> Any:
    """The data module of the config, with some options set."""
    if str(cfg.data.get("root") or "").startswith("s3:"):
        raise ConfigError(
            "is in S3, and images are looked at on this machine",
            key="data.root",
            fix="aws s3 sync S3_URI FOLDER, then data.root=FOLDER",
        )
    if cfg.data.get("_target_") != "sweepmaker.data.ImageDataModule":
        raise ConfigError(
            f"{cfg.data.get('_target_')} is a data module of your own, which only itself can look into",
            key="data",
            allowed="data=digits, data=fashion_mnist, data=folder, data=dogs",
        )
    from lightning import LightningDataModule

    from sweepmaker.run.build import instantiate

    node = cfg.data.copy()
    with open_dict(node):
        node.update(settings)
    return instantiate(node, "data", LightningDataModule)


def _check_training_side(cfg: DictConfig) -> None:
    """The keys shared with train.py, checked as it does."""
    shared = cfg.copy()
    with open_dict(shared):
        for key in _OWN_KEYS:
            shared.pop(key, None)
        if str(OmegaConf.select(cfg, "data.root") or "").startswith("s3:"):
            shared.data = {}  # train.py has no use for it
        elif OmegaConf.select(cfg, "data.cache_uri") is not None:
            shared.data.cache_uri = None  # where the cache goes, not where it comes from
    schema.validate(shared)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


ACTIONS: dict[str, Callable[[DictConfig], dict[str, Any]]] = {
    "check": _check,
    "stats": _stats,
    "cache": _cache,
    "upload": _upload,
}
