"""What conf/where and conf/job may hold: checked before the request is built."""

from __future__ import annotations

from omegaconf import DictConfig

from launchers.aws import where as places
from launchers.limits import has_gpu, has_local_storage
from sweepmaker.config.errors import ConfigError
from sweepmaker.config.schema import AUTO, BOOLEAN, NOTHING, TEXT, Rule, either, integer, number, one_of

ACTIONS = ("list", "watch", "attach", "stop", "collect")
"""What can be done about a job that is there."""
STRATEGIES = ("Bayesian", "Random", "Hyperband", "Grid")


def _is_machine(item: object) -> bool:
    if not isinstance(item, dict) or not {"type"} <= item.keys() <= {"type", "count", "volume_gb"}:
        return False
    counts = (item.get("count", 1), item.get("volume_gb", 1))
    return isinstance(item["type"], str) and all(type(count) is int and count > 0 for count in counts)


_MAP = Rule(lambda value: isinstance(value, dict), "{key: value}")
_MACHINES = Rule(
    lambda value: isinstance(value, list) and all(map(_is_machine, value)),
    "a list of {type: ml.g5.xlarge, count: 1, volume_gb: 50}; count and volume_gb may be left out",
)
_NAMES = places.NAMES
_OUR_CHANNELS = {
    "data": "data.root", "cache": "data.cache_uri", "weights": "model.weights", "code": "job.code",
}  # fmt: skip
_TEXT_OR_NULL = either(TEXT, NOTHING)

RULES: dict[str, Rule] = {
    **places.RULES,
    "job.name": either(
        Rule(
            lambda value: isinstance(value, str) and len(value) <= 11 and value.isascii()
            and value.replace("-", "").isalnum() and value[0].isalnum(),
            "up to 11 letters, digits and single hyphens: time and a random part follow",
        ),
        NOTHING,
    ),
    "job.folder": TEXT,
    "job.image": TEXT,
    "job.torch": either(TEXT, number(above=0)),  # 2.14 unquoted is a number to YAML
    "job.instance_type": Rule(
        lambda value: isinstance(value, str) and value.startswith("ml.") and value.count(".") == 2,
        "a machine of SageMaker's, such as ml.g5.xlarge or ml.m5.xlarge",
    ),
    "job.instance_count": integer(1),
    "job.instances": _MACHINES,
    "job.volume_gb": integer(1),
    "job.keep_alive_s": integer(0, 3600),
    "job.max_jobs": either(integer(1), AUTO),
    "job.max_parallel_jobs": integer(1, 100),
    "job.max_runtime_s": integer(1, 28 * 24 * 3600),
    "job.max_tuning_s": either(integer(120, 15_768_000), NOTHING),
    "job.max_pending_s": either(integer(1800, 2_419_200), NOTHING),
    "job.max_instance_hours": either(number(above=0), NOTHING),
    "job.strategy": one_of(*STRATEGIES, "auto"),
    "job.seed": either(integer(0, 2**31 - 1), NOTHING),
    "job.early_stopping": one_of("Off", "Auto", "auto"),
    "job.hyperband.min_epochs": integer(1),
    "job.hyperband.max_epochs": integer(1, 20_000),
    "job.completion.target": either(number(), NOTHING),
    "job.completion.not_improving_jobs": either(integer(3), NOTHING),
    "job.completion.on_convergence": BOOLEAN,
    "job.warm_start.parents": _NAMES,
    "job.warm_start.type": one_of("TransferLearning", "IdenticalDataAndAlgorithm"),
    "job.spot": BOOLEAN,
    "job.max_wait_s": either(integer(1), NOTHING),
    "job.retries": either(integer(1, 30), NOTHING),
    "job.input_mode": one_of("File", "FastFile"),
    "job.channels": either(_MAP, NOTHING),
    "job.checkpoints": BOOLEAN,
    "job.code": one_of("auto", "s3", "channel"),
    "job.packages": one_of("index", "wheelhouse", "image"),
    "job.include_untracked": BOOLEAN,
    "job.max_bundle_mb": number(above=0),
    "job.environment": either(_MAP, NOTHING),
    "job.tags": either(_MAP, NOTHING),
    "job.metrics": _NAMES,
    "action": one_of("launch", *ACTIONS),
    "wait": BOOLEAN,
    "dry_run": BOOLEAN,
    "stage": BOOLEAN,
    "debugger.managed": BOOLEAN,
    "mlflow.tracking_uri": _TEXT_OR_NULL,
    "mlflow.experiment": TEXT,
}  # fmt: skip

_OF_HYPERBAND = ("job.hyperband.min_epochs", "job.hyperband.max_epochs")

_NAME_OF_A_JOB = either(
    Rule(
        lambda value: isinstance(value, str) and len(value) <= 63 and value.isascii()
        and value.replace("-", "").isalnum() and value[0].isalnum(),
        "the whole name of a job, as it was printed when it was sent",
    ),
    NOTHING,
)  # fmt: skip


def validate(cfg: DictConfig, *, sweep: bool) -> None:
    """Check the part of a launch's config that is about the job.

    Raises:
        ConfigError: an unknown key, a wrong type, a value out of range or two that don't go together.
    """
    places.known_keys(
        cfg, RULES, ("where", "job", "job.hyperband", "job.completion", "job.warm_start", "mlflow")
    )
    places.check_values(cfg, {key: rule for key, rule in RULES.items() if key not in _OF_HYPERBAND})
    _pairs(cfg, sweep=sweep)
    _machines(cfg, sweep=sweep)


def validate_hyperband(cfg: DictConfig) -> None:
    """Check what counts with ``job.strategy=Hyperband`` only: the most epochs are those of the trials.

    Raises:
        ConfigError: as `validate`.
    """
    places.check_values(cfg, {key: RULES[key] for key in _OF_HYPERBAND})


def validate_action(cfg: DictConfig) -> None:
    """Check what counts when something is done about a job that is there.

    Raises:
        ConfigError: as `validate`.
    """
    places.known_keys(cfg, RULES, ("where", "job", "mlflow"))
    own = {key: rule for key, rule in RULES.items() if key.startswith(("where.", "mlflow."))}
    places.check_values(cfg, {"action": RULES["action"], "wait": BOOLEAN, "job.name": _NAME_OF_A_JOB, **own})
    for key in ("dry_run", "stage"):
        if cfg[key]:
            raise ConfigError(f"goes with action=launch, and this is action={cfg.action}", key=key)


def _pairs(cfg: DictConfig, *, sweep: bool) -> None:
    where, job = cfg.where, cfg.job
    places.check_network(where)
    if where.network_isolation:
        if job.packages == "index":
            raise ConfigError(
                "a container without network can't install from an index",
                key="job.packages",
                allowed="wheelhouse (the wheels travel with the code) or image (your own has them)",
            )
        if job.code == "s3":
            raise ConfigError(
                "a container without network can't fetch its code from S3",
                key="job.code",
                fix="job.code=channel: SageMaker itself brings it in",
            )
    if job.packages == "image" and job.image == "auto":
        raise ConfigError(
            "AWS's image lacks lightning and hydra",
            key="job.packages",
            fix="job.image=<your image> (docker/Dockerfile makes one), or job.packages=index or wheelhouse",
        )
    if job.packages == "image" and job.code == "s3":
        raise ConfigError(
            "the entry of an own image has no AWS package to fetch code from S3 with",
            key="job.code",
            fix="job.code=channel (or auto): SageMaker itself brings it in",
        )
    for name, key in _OUR_CHANNELS.items():
        if name in (job.channels or {}):
            raise ConfigError(
                f"the channel {name} is ours", key="job.channels", fix=f"{key}=..., or another name"
            )


def _machines(cfg: DictConfig, *, sweep: bool) -> None:
    where, job = cfg.where, cfg.job
    disks = {has_local_storage(one.type) for one in job.instances}
    if where.kms_key and len(disks) > 1:
        raise ConfigError(
            "some of these have local disks, which take no key, and some have disks that need it",
            key="job.instances",
            fix="machines of one kind, or no where.kms_key",
        )
    if cfg.trainer.get("accelerator") in ("gpu", "cuda"):
        kinds = [str(one.type) for one in job.instances] or [str(job.instance_type)]
        without = next((kind for kind in kinds if not has_gpu(kind)), None)
        if without:
            raise ConfigError(
                f"{without} has no GPU, and trainer.accelerator={cfg.trainer.accelerator}",
                key="job.instance_type",
                fix="job.instance_type=ml.g5.xlarge, or trainer.accelerator=auto",
            )
    if job.spot and not job.checkpoints:
        raise ConfigError(
            "a spot trial that is interrupted would begin again",
            key="job.checkpoints",
            fix="job.checkpoints=true, or job.spot=false",
        )
    if not job.spot and job.max_wait_s is not None:
        raise ConfigError("is about spot machines only", key="job.max_wait_s", fix="job.spot=true")
    if job.spot and job.max_wait_s is not None and job.max_wait_s < job.max_runtime_s:
        raise ConfigError(
            f"{job.max_wait_s} s are less than job.max_runtime_s={job.max_runtime_s}",
            key="job.max_wait_s",
            allowed="waiting and running together, so at least job.max_runtime_s",
        )
    if job.keep_alive_s and (sweep or job.spot):
        raise ConfigError(
            "a warm machine goes neither with a tuning job nor with spot", key="job.keep_alive_s", allowed="0"
        )
    if sweep and cfg.debugger.managed:
        raise ConfigError(
            "SageMaker's Debugger never worked in tuning jobs: their API has no field for it",
            key="debugger.managed",
            fix="leave it out, or hydra/sweeper=basic: one training job for each combination",
        )
    if job.instances and sweep is False:
        raise ConfigError(
            "a list of machines to fall back on is a tuning job's only",
            key="job.instances",
            fix="job.instance_type=...",
        )
