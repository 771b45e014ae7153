"""What is run for a trial: the job's own command, its script, or what an image of our own starts with."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from launchers.embedded.runtimes.order import CACHE, ROOT_MARK, TRIAL_MARK, Order
from launchers.embedded.runtimes.unpack import CodeError
from launchers.embedded.runtimes.variables import (
    FRAMEWORK,
    PROGRAM,
    arguments,
    decoded,
    program,
    variables,
)

# a relative path in letters that no shell and no interpreter reads as anything else
_ENTRY_POINT = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._+-]*(/[A-Za-z0-9._+-]+)*")
_TORCHRUN = "sagemaker_torch_distributed_enabled"
_NOT_HERE = (
    "sagemaker_mpi_enabled",
    "sagemaker_distributed_dataparallel_enabled",
    "sagemaker_pytorch_ddp_enabled",
    "sagemaker_pytorch_xla_multi_worker_enabled",
)
# read when an interpreter or a library starts, so too late for a process that was forked from a warm one
_READ_AT_START = re.compile(r"(PYTHON|LD_|OMP_|KMP_|GOMP_|MKL_|OPENBLAS_|NUMEXPR_|MALLOC_|TORCH_|PYTORCH_).*")
_SET_HERE = ("PYTHONUNBUFFERED",)
_PASSED_ON = ("LD_LIBRARY_PATH",)  # some machines have their GPU's libraries there
GPU_ORDER = "CUDA_DEVICE_ORDER"
"""What the numbers of GPUs mean."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CHECKOUT = Path(__file__).resolve().parents[3]
_OPT_ML = re.compile(r"(?<![\w./-])/opt/ml(?![\w.-])")


@dataclass(frozen=True)
class Command:
    """
    Args:
        arguments: the whole command line.
        script: a Python file that a warm process may run itself, as the script sees its path.
        folder: to start in.
    """

    arguments: tuple[str, ...]
    script: str | None
    folder: str


def runs_script(order: Order) -> bool:
    """Whether AWS's toolkit, or what stands for it here, runs a script for this trial."""
    return order.entrypoint is None and program(order.hyperparameters, order.environment) is not None


def of(order: Order) -> Command:
    """
    Raises:
        CodeError: the job names no script that could be one, or a way to start it that is not there.
    """
    if order.entrypoint is not None:
        return Command(tuple(_here(order, word) for word in order.entrypoint), None, order.base)
    if not runs_script(order):
        image = (sys.executable, "-m", "sweepmaker.container", "train")
        return Command(image, None, order.base)
    if order.way == "toolkit":
        return Command((str(Path(order.interpreter).parent / "train"),), None, order.base)
    return _script(order)


def _script(order: Order) -> Command:
    name = program(order.hyperparameters, order.environment) or ""
    if not _ENTRY_POINT.fullmatch(name) or {".", ".."} & set(name.split("/")):
        raise CodeError(f"{ascii(name)[:200]} ({PROGRAM}) is no path within the code: train.py, sub/train.py")
    sent = decoded(order.hyperparameters)
    if missing := [key for key in _NOT_HERE if sent.get(key)]:
        raise CodeError(f"{missing[0]} is not available here")
    given = [_here(order, word) for word in arguments(order.hyperparameters)]
    code, folder = Path(order.ml, "code"), f"{order.base}/code"
    if name.endswith(".sh") or not (name.endswith(".py") or (code / "setup.py").exists()):
        if (code / name).is_file():
            (code / name).chmod(0o777)
        return Command(("/bin/sh", "-c", f"./{shlex.quote(name)} {shlex.join(given)}"), None, folder)
    if sent.get(_TORCHRUN):
        count = sent.get("sagemaker_mpi_num_of_processes_per_host") or len(order.gpus) or 1
        torchrun = (order.interpreter, "-m", "torch.distributed.run", "--nnodes", "1")
        return Command((*torchrun, "--nproc_per_node", str(count), name, *given), None, folder)
    if (code / "setup.py").exists():  # not installed, but importable from the folder it starts in
        return Command((order.interpreter, "-m", name.removesuffix(".py"), *given), None, folder)
    warm = order.way == "fork" and not reads_at_start(order.environment)
    return Command((order.interpreter, "--", name, *given), f"{folder}/{name}" if warm else None, folder)


def reads_at_start(environment: Mapping[str, str]) -> list[str]:
    """The variables of a job that only a freshly started interpreter takes notice of."""
    return [name for name in environment if _READ_AT_START.fullmatch(name) and name not in _SET_HERE]


def environment(order: Order) -> dict[str, str]:
    """All variables of the trial: an image's usual ones, the job's above them, and what is fixed here."""
    threads = str(order.threads)
    found = {
        "PATH": f"{Path(order.interpreter).parent}:{_PATH}",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",  # as in AWS's images: metric lines leave at once
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "HOME": order.scratch,
        "TMPDIR": order.scratch,
        CACHE: f"{order.root}/cache",  # one for all trials
    }
    found |= {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    found |= {name: _here(order, value) for name, value in order.environment.items()}
    if not order.private:
        found["SAGEMAKER_BASE_DIR"] = order.ml
    if order.way == "toolkit":
        # its launcher of PyTorch jobs, and no waiting until 'algo-1' has an address
        found |= {"SAGEMAKER_TRAINING_MODULE": FRAMEWORK, "SM_STUDIO_LOCAL_MODE": "true"}
    elif runs_script(order):
        found |= _of_script(order)
    if GPU_ORDER in os.environ:
        found[GPU_ORDER] = os.environ[GPU_ORDER]
    return found | {
        "CUDA_VISIBLE_DEVICES": ",".join(order.gpus),
        ROOT_MARK: order.root,
        TRIAL_MARK: order.token,
    }


def search_path(order: Order) -> list[str]:
    """PYTHONPATH of a script: its code, then this interpreter's libraries, none of this checkout's."""
    ours = {str(_CHECKOUT), str(_CHECKOUT / "src"), ""}
    return [f"{order.base}/code", *(path for path in sys.path if path not in ours)]


def _of_script(order: Order) -> dict[str, str]:
    found = variables(
        order.base,
        Path(order.ml, "input", "config"),
        order.environment,
        cpus=len(order.cores) or os.cpu_count() or 1,
        gpus=len(order.gpus),
    )
    found = {name: _here(order, value) for name, value in found.items()}
    found["SAGEMAKER_TRAINING_MODULE"] = FRAMEWORK
    found["PYTHONPATH"] = os.pathsep.join(search_path(order))
    found["SM_DLC_TORCH_VERSION"] = _torch_version()
    return found


def _torch_version() -> str:
    if torch := sys.modules.get("torch"):
        return str(torch.__version__)
    try:
        return importlib.metadata.version("torch")  # without the +cu130 behind it
    except importlib.metadata.PackageNotFoundError:
        return ""


def _here(order: Order, text: str) -> str:
    """Paths below ``/opt/ml`` as they are on this machine, where the trial has no ``/opt/ml`` of its own."""
    return text if order.private else _OPT_ML.sub(lambda _: order.ml, text)
