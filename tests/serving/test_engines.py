"""Engines say what the plain one says, are refused where they don't, and auto says why it took one."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from sweepmaker.config.choices import Choices
from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.serving import engines
from sweepmaker.serving.artifact import Artifact, open_artifact
from sweepmaker.serving.engines import agreement, openvino
from sweepmaker.serving.engines.base import Unavailable
from sweepmaker.serving.engines.compiled import Compiled
from sweepmaker.serving.engines.eager import Eager, Plain
from sweepmaker.serving.engines.export import to_onnx
from sweepmaker.serving.engines.onnx import Onnx
from tests.serving.models import classifier, make_model

HAS_BF16 = openvino.instruction() is not None


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return open_artifact(make_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def images(artifact: Artifact) -> Tensor:
    return agreement.samples(artifact.transform)


@pytest.fixture(scope="module")
def plain(artifact: Artifact) -> Plain:
    return Plain(artifact.network(), "cpu", channels_last=True)


def close(one: Tensor, other: Tensor, share: float) -> bool:
    """Whether logits differ by no more than a share of the largest."""
    return one.shape == other.shape and float((one - other).abs().max() / other.abs().max()) < share


def chosen(artifact: Artifact, wanted: str = "auto") -> tuple[str, str]:
    """The engine's name and the reason."""
    choices = Choices(quiet=True)
    name = engines.choose(artifact, wanted, choices=choices).name
    said = choices.as_dict()["engine"]
    assert said["value"] == name
    return name, said["reason"]


def test_samples_are_the_same_every_time_and_differ(artifact: Artifact, plain: Plain) -> None:
    one, other = (agreement.samples(artifact.transform) for _ in range(2))
    assert torch.equal(one, other)
    assert one.shape == (agreement.SAMPLES, 3, 32, 32)
    assert len({tuple(row) for row in plain(one).tolist()}) == agreement.SAMPLES


@pytest.mark.parametrize(
    ("network", "library"),
    [
        ("mobilenet_v3_small", "torchvision"),
        ("efficientnet_b0", "torchvision"),
        ("resnet18", "timm"),
        ("tf_efficientnet_lite0", "timm"),
    ],
)
def test_onnx_and_eager_agree(network: str, library: str, tmp_path: Path) -> None:
    found = open_artifact(make_model(tmp_path, classifier(3, network, library)))
    for name in ("onnx", "eager"):
        assert chosen(found, name) == (name, "asked for")


@pytest.mark.parametrize("name", ["onnx", "eager", *(["openvino"] if HAS_BF16 else [])])
def test_several_threads_may_ask_at_a_time(
    name: str, artifact: Artifact, plain: Plain, images: Tensor
) -> None:
    engine = engines.choose(artifact, name)
    batches = [images.roll(n, 0)[: n % 3 + 1] for n in range(40)]
    with ThreadPoolExecutor(4) as pool:
        answers = [*pool.map(engine, batches)]
    for batch, answer in zip(batches, answers, strict=True):
        assert answer.dtype == torch.float32 and answer.device.type == "cpu"
        assert close(answer, plain(batch), 0.05 if name == "openvino" else 1e-4)


def test_auto_takes_the_fastest_and_says_why(artifact: Artifact) -> None:
    name, reason = chosen(artifact)
    assert name == "onnx" and reason.startswith("ONNX Runtime, the fastest in float32")
    assert ("engine=openvino" in reason) == HAS_BF16


@pytest.mark.skipif(not HAS_BF16, reason="see test_a_cpu_without_bfloat16_has_no_openvino")
def test_openvino_is_there_for_who_asks(artifact: Artifact) -> None:
    assert chosen(artifact, "openvino") == ("openvino", "asked for")


def test_openvino_that_is_not_installed(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigError, match="openvino cannot be had: "):
        chosen(artifact, "openvino")


def test_without_either_it_is_pytorch(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    name, reason = chosen(artifact)
    assert name == "eager"
    assert "ONNX Runtime is not installed: pip install 'sweepmaker[serve]'" in reason
    with pytest.raises(ConfigError, match="engine: onnx cannot be had: ONNX Runtime is not installed"):
        chosen(artifact, "onnx")


def test_a_cpu_without_bfloat16_has_no_openvino(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "cpu_flags", lambda: {"avx2"})
    assert chosen(artifact) == ("onnx", "ONNX Runtime, the fastest in float32")
    with pytest.raises(ConfigError, match="the CPU has no instructions for bfloat16"):
        chosen(artifact, "openvino")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda logits: logits + torch.eye(3)[0] * 0.5, "logits differ by"),
        (lambda logits: logits.flip(1), "logits differ by"),
        (lambda logits: logits * float("nan"), "logits differ by nan"),
        (lambda logits: logits[:, :2], r"shape \[6, 2\], not \[6, 3\]"),
        (lambda logits: logits[:1], r"shape \[1, 3\], not \[6, 3\]"),
    ],
)
def test_an_engine_that_says_something_else_is_not_served(
    change: Any, words: str, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Onnx.__call__
    monkeypatch.setattr(Onnx, "__call__", lambda self, batch: change(right(self, batch)))
    with pytest.raises(UserError, match=f"engine=onnx does not say what the model says.*{words}") as error:
        chosen(artifact, "onnx")
    assert error.value.fix is not None
    name, reason = chosen(artifact)
    assert name == "eager" and "onnx: " in reason


def test_an_engine_that_knows_one_batch_size_only_is_not_served(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a forward with a number of images in it, which a trace keeps."""
    right = Onnx.__call__
    baked = lambda self, batch: right(self, batch.expand(6, -1, -1, -1).roll(1, 0))[: len(batch)]  # noqa: E731
    monkeypatch.setattr(Onnx, "__call__", baked)
    with pytest.raises(UserError, match="does not say what the model says"):
        chosen(artifact, "onnx")


class Two(nn.Module):
    """Logits that are given: the first image's best classes are a hair apart."""

    def __init__(self, first: list[float]) -> None:
        super().__init__()
        self.first = first

    def forward(self, batch: Tensor) -> Tensor:
        return torch.tensor([self.first, *[[0.0, 1.0, 9.0]] * 5])[: len(batch)]


@pytest.mark.parametrize(
    ("other", "agrees"),
    [([5.001, 5.0, 0.0], True), ([5.0, 5.001, 0.0], True), ([4.9, 5.2, 0.0], False)],
)
def test_of_two_classes_that_are_equally_good_either_may_be_best(other: list[float], agrees: bool) -> None:
    images = torch.zeros(6, 3, 8, 8)
    engine = Plain(Two(other), "cpu", channels_last=False)
    said = agreement.disagreement(Two([5.0005, 5.0, 0.0])(images), engine, images, agreement.EXACT)
    assert (said is None) == agrees


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_network_fills_batches_up(backend: str, artifact: Artifact, plain: Plain) -> None:
    """What torch.compile does with a CPU here, it does with a GPU where there is one."""
    engine = Compiled(artifact.network(), 32, most=9, backend=backend, device="cpu")
    assert engine.sizes() == [1, 8, 9]
    for count in (1, 2, 8, 9, 10, 19):
        batch = torch.randn(count, 3, 32, 32)
        assert close(engine(batch), plain(batch), 1e-4)


def test_compile_is_for_a_gpu(artifact: Artifact) -> None:
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="engine: compile is not for a machine without a GPU") as error:
            chosen(artifact, "compile")
        assert error.value.allowed == "auto, onnx, eager, openvino, plain"


def test_what_moves_to_a_gpu_is_a_copy(artifact: Artifact) -> None:
    """The other engines fold and export the network where it was: ``meta`` stands for the GPU."""
    network = artifact.network()
    moved = Plain(network, "meta", channels_last=True)
    assert {one.device.type for one in moved._network.parameters()} == {"meta"}
    assert {one.device.type for one in network.parameters()} == {"cpu"}


def test_a_network_that_cannot_be_folded_is_passed_over() -> None:
    network = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 1)), nn.BatchNorm2d(4)
    ).eval()
    with pytest.raises(Unavailable, match="its batch norms cannot be folded"):
        Eager(network, 8, "cpu", channels_last=False)


def test_folding_leaves_no_batch_norm_and_the_original_as_it_was(artifact: Artifact, images: Tensor) -> None:
    network = artifact.network()
    before = network(images)
    engine = Eager(network, 32, "cpu", channels_last=True)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in engine._network.modules())
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    assert torch.equal(network(images), before)
    assert close(engine(images), before, 1e-4)


class Deciding(nn.Module):
    """A forward that a trace gets wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, batch: Tensor) -> Tensor:
        means = self.layer(batch.mean(dim=(2, 3)))
        return means if float(batch.sum()) > 0 else -means


def test_a_forward_that_decides_is_told_from_its_trace() -> None:
    network = Deciding().eval().requires_grad_(False)
    engine = Onnx(network, 8, 1)  # traced as if it never decided
    images = torch.randn(6, 3, 8, 8)
    images *= images.sum().sign()
    assert agreement.disagreement(network(images), engine, images, agreement.EXACT) is not None


class Shared(nn.Module):
    """What one batch norm takes goes elsewhere too; what the other takes comes from a layer used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.norm, self.other = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        for norm in (self.norm, self.other):
            nn.init.constant_(norm.running_var, 3.0)

    def forward(self, batch: Tensor) -> Tensor:
        one = self.first(batch)
        two = self.twice(self.norm(one) + one)
        return self.other(self.twice(two)).mean(dim=(2, 3))


def test_a_batch_norm_that_cannot_be_folded_is_noticed_or_left() -> None:
    network = Shared().eval().requires_grad_(False)
    images = torch.randn(6, 3, 8, 8)
    engine = Eager(network, 8, "cpu", channels_last=False)
    assert isinstance(engine._network.other, nn.BatchNorm2d)
    assert "logits differ" in str(agreement.disagreement(network(images), engine, images, agreement.EXACT))


def test_timms_layers_of_norm_and_activation_are_folded(tmp_path: Path) -> None:
    network = classifier(3, "tf_efficientnet_lite0", "timm").network
    images = torch.randn(4, 3, 32, 32)
    engine = Eager(network, 32, "cpu", channels_last=True)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in engine._network.modules())
    with torch.no_grad():
        assert close(engine(images), network(images), 1e-3)


class Odd(nn.Module):
    def forward(self, batch: Tensor) -> Tensor:
        return torch.linalg.svdvals(batch[:, 0])


def test_what_onnx_lacks_is_said_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    """The exporter itself prints the whole graph on stdout, which is for results."""
    with pytest.raises(Unavailable, match="cannot be exported as ONNX") as error:
        to_onnx(Odd(), 8)
    assert len(str(error.value).splitlines()) == 1
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_attention_is_exported() -> None:
    """In eval mode it takes a path that only PyTorch has; PyTorch keeps it."""
    torch.manual_seed(0)
    network = VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=3).eval().requires_grad_(False)
    nn.init.normal_(network.heads.head.weight)
    images = torch.randn(6, 3, 32, 32)
    assert agreement.disagreement(network(images), Onnx(network, 32, 1), images, agreement.EXACT) is None
    assert torch.backends.mha.get_fastpath_enabled()
