"""What the third-party libraries do once only, done before a trial is forked rather than in each trial.

Hydra's grammar learns its way through the first overrides that it parses, Hydra's plugins are imported
by the first composition, OmegaConf and PyYAML fill tables of their own: about a third of the time in
which a forked trial composes its config. Nothing of the rehearsed config stays.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

_CONFIG = """\
defaults: [_self_, {group: one}]
number: 1e-3
text: "of ${number}"
nested: {list: [1, two], gone: 1}
hydra: {run: {dir: .}}
"""
_GROUP = "# @package _global_\nother: [true, 1.5]\n"
_OVERRIDES = (
    "number=3e-4", "text='a b, c'", "+nested.more={a: 1, b: [x, 2]}", "group=one", "++nested.list=[1,2]",
    "~nested.gone", "hydra.mode=RUN", "text=/a/folder-1.0/of/many", "+nested.flag=true", "+nested.word=null",
    "text=\"quoted ${number}\"",
)  # fmt: skip


def rehearse() -> None:
    """Compose a config of two files with every form of override that a job may send."""
    with contextlib.suppress(ModuleNotFoundError):  # a trial that needs Hydra says so
        _compose()


def _compose() -> None:
    from hydra import compose, initialize_config_dir
    from hydra.core.plugins import Plugins
    from hydra.core.singleton import Singleton
    from omegaconf import OmegaConf

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "group").mkdir()
        (folder / "config.yaml").write_text(_CONFIG)
        (folder / "group" / "one.yaml").write_text(_GROUP)
        with initialize_config_dir(str(folder), version_base="1.3"):
            cfg = compose("config", list(_OVERRIDES), return_hydra_config=True)
            OmegaConf.to_yaml(cfg.nested)
            OmegaConf.to_container(cfg.hydra.job)
            OmegaConf.to_container(cfg.nested, resolve=True)
    # a trial looks for plugins itself: its code may bring some
    Singleton._instances.pop(Plugins, None)
