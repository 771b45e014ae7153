"""Every YAML under conf/ composes, checks, and explains its keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from launchers.jobs import settings
from sweepmaker.compare import settings as compare
from sweepmaker.config import schema
from sweepmaker.serving import settings as serving
from tests.integration.runs import CHECKOUT

CONF = CHECKOUT / "conf"
FILES = sorted(path.relative_to(CONF) for path in CONF.glob("**/*.yaml") if "local" not in path.parts)


def _override(file: Path) -> list[str]:
    group, option = file.parent.as_posix(), file.stem
    if group == ".":
        return []
    return [f"+{group}={option}" if group == "experiment" else f"{group}={option}"]


@pytest.mark.parametrize("file", FILES, ids=str)
def test_composes_and_passes_the_checks(file: Path, tmp_path: Path) -> None:
    overrides = _override(file)
    if "dogs" in file.stem or file.name == "folder.yaml":
        overrides.append(f"data.root={tmp_path}")
    if file.name == "deploy.yaml":
        overrides.append("run=best")
    if file.stem == "own":
        overrides.append(f"{file.parent}._target_=my_project.Own")
    overrides.append(f"hydra.runtime.output_dir={tmp_path}")
    primary = _primary(file)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(primary, overrides=overrides, return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        if primary == "launch":
            settings.validate(cfg, sweep=True)
        elif primary == "compare":
            del cfg.__dict__["_content"]["hydra"]
            compare.options(cfg)
        elif primary == "deploy":
            del cfg.__dict__["_content"]["hydra"]
            serving.options(cfg)
        elif primary == "train":
            del cfg.__dict__["_content"]["hydra"]
            schema.validate(cfg)


def _primary(file: Path) -> str:
    """The verb whose config a file belongs to."""
    if file.parts[0] in ("where", "job", "search") or "sweeper" in file.parts:
        return "launch"
    return file.stem if len(file.parts) == 1 else "train"


@pytest.mark.parametrize("file", FILES, ids=str)
def test_explains_itself(file: Path) -> None:
    """A comment on top says what the file is for; in the groups people read, each value has one too."""
    lines = (CONF / file).read_text().splitlines()
    assert lines[0].startswith("#")
    if file.parts[0] not in ("data", "model", "optimizer", "trainer") or len(lines) < 10:
        return
    values = [line for line in lines if ": " in line and not line.lstrip().startswith(("#", "_", "-"))]
    explained = [i for i, line in enumerate(values) if "#" in line]
    # neighbours of one kind (valid: and test:) share the comment of the line or of the key above
    assert len(explained) >= 0.6 * len(values)


def test_top_level_keys_are_explained() -> None:
    text = (CONF / "train.yaml").read_text().partition("hydra:\n")[0]
    groups = [path.name for path in CONF.iterdir() if path.is_dir()]
    for key in schema.RULES:
        if "." not in key and key not in (*groups, "objective", "paths"):
            assert any(line.startswith(f"{key}: ") and "#" in line for line in text.splitlines()), key
