"""What trains and what stands still: names of the blocks, gradients, modes, rates, epochs."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn

from sweepmaker.config.errors import ConfigError
from sweepmaker.models import build_network
from sweepmaker.models.freezing import Freezing, blocks_of
from sweepmaker.models.networks import head_names
from tests.models.nets import architecture
from tests.run.nets import Pictures, Small

pytestmark = pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning")


@pytest.mark.parametrize(
    ("library", "name", "count", "first", "last"),
    [
        ("torchvision", "efficientnet_b2", 9, "features.0", "features.8"),
        ("torchvision", "resnet18", 10, "conv1", "layer4.1"),
        ("torchvision", "mobilenet_v3_small", 14, "features.0", "classifier.0"),
        ("torchvision", "vit_b_16", 14, "conv_proj", "encoder.ln"),
        ("timm", "tf_efficientnet_lite2", 11, "conv_stem", "bn2"),
        ("torchvision", "squeezenet1_1", 9, "features.0", "features.12"),
    ],
)
def test_blocks_of_known_networks(library: str, name: str, count: int, first: str, last: str) -> None:
    with torch.device("meta"):
        network = build_network(architecture(name, library=library))
    found = blocks_of(network, head_names(network))
    assert (len(found), found[0], found[-1]) == (count, first, last)
    covered = {id(p) for block in found for p in network.get_submodule(block).parameters()}
    heads = {id(p) for head in head_names(network) for p in network.get_submodule(head).parameters()}
    assert not covered & heads
    loose = {"class_token", "encoder.pos_embedding"}
    missing = {key for key, p in network.named_parameters() if id(p) not in covered | heads}
    assert missing <= loose


def test_three_blocks_of_b2_are_four_fifths_of_its_weights() -> None:
    with torch.device("meta"):
        network = build_network(architecture("efficientnet_b2", num_classes=133))
    Freezing(network, head_names(network), "blocks", blocks=3, head_epochs=1).apply(0)
    count = {
        flag: sum(p.numel() for p in network.parameters() if p.requires_grad is flag)
        for flag in (True, False)
    }
    assert 0.8 < count[True] / (count[True] + count[False]) < 0.9


@pytest.mark.parametrize("blocks", [3, 4])
def test_as_many_blocks_as_there_are_is_refused(blocks: int) -> None:
    network = Small("full").network
    with pytest.raises(ConfigError, match=r"3 blocks before its head") as refused:
        Freezing(network, ("head",), "blocks", blocks=blocks, head_epochs=1)
    assert refused.value.allowed == "1 to 2"


def _trained(module: nn.Module) -> set[str]:
    return {name for name, p in module.named_parameters() if p.requires_grad}


def _in_eval(module: Small) -> set[str]:
    return {
        name for name, part in module.network.named_modules() if not part.training and name.count(".") == 1
    }


def test_only_the_last_blocks_train() -> None:
    module = Small("blocks")
    names = {name.rsplit(".", 2)[0] for name in _trained(module)}
    assert names == {"network.features.2", "network"}
    assert _in_eval(module) == {"features.0", "features.1"}
    module.eval()
    module.train()
    assert _in_eval(module) == {"features.0", "features.1"}
    before = {name: value.clone() for name, value in module.state_dict().items()}
    _fit(module)
    changed = {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}
    assert changed >= {
        "network.head.weight",
        "network.features.2.0.weight",
        "network.features.2.1.running_mean",
    }
    assert not {name for name in changed if "features.0" in name or "features.1" in name}


def _fit(module: Small, **settings: Any) -> Trainer:
    quiet: dict[str, Any] = {
        "accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
        "enable_model_summary": False, "max_epochs": 2,
    }  # fmt: skip
    trainer = Trainer(**(quiet | settings))
    trainer.fit(module, datamodule=Pictures())
    return trainer


class Watched(Small):
    """Remembers at each step what trained and at which rates."""

    def __init__(self, **settings: Any) -> None:
        super().__init__("gradual", **settings)
        self.seen: list[tuple[int, bool, dict[float, float]]] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        groups = self.trainer.optimizers[0].param_groups
        rates = {group["lr_scale"]: group["lr"] for group in groups}
        backbone = next(self.network.features.parameters())  # type: ignore[union-attr]
        assert self.network.features.training == backbone.requires_grad  # type: ignore[union-attr]
        self.seen.append((self.current_epoch, backbone.requires_grad, rates))
        return super().training_step(batch, batch_idx)


def test_the_head_trains_first_and_the_backbone_slower() -> None:
    module = Watched(head_epochs=1, backbone_lr=0.25)
    before = {name: value.clone() for name, value in module.network.state_dict().items()}
    _fit(module, max_epochs=1 + 2)
    assert {(epoch, trains) for epoch, trains, _ in module.seen} == {(0, False), (1, True), (2, True)}
    for _, _, rates in module.seen:
        assert rates[0.25] == pytest.approx(0.25 * rates[1.0])
    assert max(rates[1.0] for _, _, rates in module.seen) <= 0.05  # OneCycleLR's peak as configured
    changed = module.network.state_dict()
    assert not torch.equal(changed["features.0.0.weight"], before["features.0.0.weight"])


def test_nothing_but_the_head_changes_while_it_trains_alone() -> None:
    module = Small("gradual", head_epochs=2)
    before = {name: value.clone() for name, value in module.network.state_dict().items()}
    _fit(module, max_epochs=3, max_steps=6)  # an epoch has five
    changed = {
        name for name, value in module.network.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"head.weight", "head.bias"}


def test_a_run_without_an_epoch_for_the_backbone_is_refused() -> None:
    with pytest.raises(ConfigError, match="leave none for the backbone") as refused:
        _fit(Small("gradual", head_epochs=2))
    assert refused.value.fix == "epochs=3, or model.finetune=head"


@pytest.mark.parametrize(
    "settings",
    [{"backbone_lr": 0.0}, {"backbone_lr": 1.5}, {"head_epochs": 0}, {"mixup": -1.0}, {"cutmix": -0.1}],
)
def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refused:
        Small("gradual", **settings)
    assert refused.value.key == f"model.{next(iter(settings))}"


def test_a_schedule_without_rates_of_its_own_keeps_the_shares() -> None:
    module = Watched(backbone_lr=0.5)
    module._scheduler = functools.partial(torch.optim.lr_scheduler.CosineAnnealingLR)
    _fit(module)
    assert all(rates[0.5] == pytest.approx(0.5 * rates[1.0]) for _, _, rates in module.seen)


def test_the_backbone_trains_at_the_full_rate_too() -> None:
    module = Small("gradual", backbone_lr=1.0)
    before = module.network.state_dict()["features.0.0.weight"].clone()
    _fit(module)
    assert not torch.equal(module.network.state_dict()["features.0.0.weight"], before)


def test_a_dropout_between_what_trains_is_on() -> None:
    module = Small("full")
    module.network.dropout = nn.Dropout(0.5)  # type: ignore[assignment]  # beside the head, in no block
    blocks = Freezing(module.network, ("head",), "blocks", blocks=1, head_epochs=1)
    module.network.train()
    blocks.set_modes(0)
    assert module.network.dropout.training and module.network.training
    assert module.network.features[2].training and not module.network.features[1].training  # type: ignore[index]
