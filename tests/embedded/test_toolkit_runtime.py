"""AWS's own toolkit as the runtime, and that a forked trial finds the same as one that it starts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from launchers.embedded.runtimes import linux, open_runtime
from launchers.embedded.runtimes.spec import Runtime
from launchers.embedded.runtimes.toolkit import Toolkit
from sweepmaker.config.errors import ConfigError
from tests.container.containers import needs_toolkit
from tests.embedded.trials import DEADLINE_S, Trial, eventually

pytestmark = pytest.mark.skipif(not linux.HERE, reason="sagemaker-training is for Linux")


@pytest.fixture
def toolkit(tmp_path: Path) -> Iterator[Runtime]:
    needs_toolkit()
    root = tmp_path / "root"
    root.mkdir()
    found = open_runtime("toolkit", root=root)
    yield found
    found.close()


def test_a_missing_toolkit_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not installed there"):
        open_runtime("toolkit", root=tmp_path, toolkit_python=tmp_path / "bin" / "python")
    with pytest.raises(ConfigError, match="'other'"):
        open_runtime("other", root=tmp_path)


PRINTS = """
import json, os, sys, torch
with open(os.environ["SM_OUTPUT_DATA_DIR"] + "/found", "w") as file:
    json.dump([os.getcwd(), sys.argv, __file__, sys.path[:2], dict(os.environ)], file)
"""
SENT = {
    "lr": "0.10",
    "x": "5",
    "flag": "true",
    "Flag": "True",
    "none": "null",
    "list": "[1, 2]",
    "map": '{"b": [2], "a": 1}',
    "++model.lr": "1e3",
    "text": "ü 'a' \"b\" $HOME",
    "quoted": '"007"',
    "sagemaker_container_log_level": "20",
    "sagemaker_job_name": "given",
    "sagemaker_other": "[1]",
    "_tuning_objective_metric": "val/top1",
}
CHANNEL = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
# of one machine and of one process, or of how the toolkit is told that it is not on AWS
OWN = {"PATH", "PYTHONPATH", "HOME", "TMPDIR", "SWEEPMAKER_EMBEDDED_TRIAL", "SWEEPMAKER_EMBEDDED_ROOT"}
OWN |= {"SM_STUDIO_LOCAL_MODE", "SM_DLC_TORCH_VERSION", "SM_NUM_CPUS", "SM_TRAINING_ENV"}


@pytest.mark.slow
@pytest.mark.parametrize("private", [True, False])
def test_a_script_finds_the_same_under_fork_and_toolkit(
    toolkit: Runtime, tmp_path: Path, private: bool
) -> None:
    seen = {}
    root = tmp_path / "root"
    for runtime in (open_runtime("fork", root=root), open_runtime("process", root=root), toolkit):
        assert isinstance(runtime, Toolkit.__base__)
        runtime.private = runtime.private and private
        # the same folder for each, since paths are part of what is compared
        trial = Trial(
            tmp_path / "job", PRINTS, SENT, {"MINE": "1"}, channels={"train": CHANNEL, "my-data": CHANNEL}
        )
        for old in (trial.ml, trial.log):
            if old.exists():
                old.rename(tmp_path / f"{old.name}-{len(seen)}")
        assert trial.run(runtime) == 0
        seen[runtime.name] = json.loads((trial.ml / "output" / "data" / "found").read_text())
        runtime.close()
    theirs = seen.pop("toolkit")
    for name, ours in seen.items():
        assert ours[:4] == theirs[:4], name
        mine, other = ours[4], theirs[4]
        assert other["SM_DLC_TORCH_VERSION"].startswith(mine["SM_DLC_TORCH_VERSION"])
        assert {k: v for k, v in mine.items() if k not in OWN} == {
            k: v for k, v in other.items() if k not in OWN
        }, name
        training, expected = json.loads(mine["SM_TRAINING_ENV"]), json.loads(other["SM_TRAINING_ENV"])
        assert training.pop("num_cpus") == 1
        expected.pop("num_cpus")
        assert training == expected, name


# in one piece: the toolkit breaks lines wherever its pipe happened to be empty
FAILS = "import os\nos.write(2, b'a\\nTraceback\\nValueError: too odd\\nmore\\nmore\\n')\nos._exit(3)\n"


@pytest.mark.slow
def test_a_failing_script_fails_as_under_fork(toolkit: Runtime, tmp_path: Path) -> None:
    texts = []
    root = tmp_path / "root"
    for runtime in (open_runtime("process", root=root), toolkit):
        trial = Trial(tmp_path / runtime.name, FAILS, {"lr": "1"})
        assert trial.run(runtime) == 1
        assert trial.failure is not None
        head, _, command = trial.failure.rpartition("\nCommand ")
        texts.append((head.replace("\n ", "\n"), command.partition(" ")[2]))
    assert texts[0] == texts[1]


@pytest.mark.slow
def test_the_environment_of_the_toolkit_stays_as_it_is(toolkit: Runtime, tmp_path: Path) -> None:
    script = "print('started'); raise SystemExit(0)\n"
    trial = Trial(
        tmp_path / "job", script,
        files={"requirements.txt": "no-such-package-as-this==9\n", "setup.py": "raise SystemExit('run')\n"},
    )  # fmt: skip
    assert trial.run(toolkit) == 0
    assert "requirements.txt is not installed" in trial.text
    assert "setup.py is not installed" in trial.text
    assert "pip" not in trial.text


@pytest.mark.slow
def test_no_sigterm_reaches_the_script(toolkit: Runtime, tmp_path: Path) -> None:
    script = (
        "import os, time\nprint('started', flush=True)\n"
        "while not os.path.exists('../go'): time.sleep(0.02)\nprint('to its end')\n"
    )
    trial = Trial(tmp_path / "job", script)
    handle = trial.start(toolkit)
    eventually(lambda: "\nstarted" in trial.text, "the script prints")
    handle.terminate()
    assert handle.wait(0.5) is None
    (trial.ml / "go").touch()
    assert handle.wait(DEADLINE_S) == 0
    assert "to its end" in trial.text
