"""The LightningModule: an image classifier that is fine-tuned as a whole or in part."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torchmetrics.classification import MulticlassConfusionMatrix

from sweepmaker.config.errors import ConfigError
from sweepmaker.metrics.classification import EpochScores
from sweepmaker.models.features import Backbone
from sweepmaker.models.freezing import Freezing
from sweepmaker.models.mixing import Mixing
from sweepmaker.models.networks import head_names, only_image_size, reset_heads
from sweepmaker.models.optimization import build_optimizer, build_schedule, parameter_groups
from sweepmaker.models.settings import check_gradual, check_settings
from sweepmaker.models.weights import initialised_network


class Classifier(LightningModule):
    """Any torchvision or timm classifier with a head for the data's classes.

    Logs once an epoch ``<split>/loss``, ``/top1``, ``/top5``, ``/f1`` for train, valid and test,
    and ``lr``. ``train/loss`` is what is minimised; the others have no label smoothing, so that
    runs with different smoothing can be compared.

    Args:
        name: the network's name in its library.
        library: ``torchvision`` or ``timm``.
        num_classes: number of classes C; the runner passes what the data has.
        weights: ``auto``, ``none``, ``pretrained``, a torchvision weights name,
            ``efficientnet-lite2``, or a path (see ``sweepmaker.models.weights``).
        weights_timeout_s: how long ``auto`` and published weights wait for the network, seconds.
        finetune: ``full``; ``head``: only the last layer trains, everything before it is frozen and
            stays in eval mode (no dropout either: an image always has the same features); ``blocks``:
            the last ``blocks`` parts before the head train with it; ``gradual``: the head alone for
            ``head_epochs``, then everything, the backbone at ``backbone_lr`` times the rate.
        blocks, head_epochs, backbone_lr: see ``finetune``; the last is a share in (0, 1].
        dropout: rate before the head, in [0, 1); None keeps the network's own.
        label_smoothing: share of the target that is spread over all classes, in [0, 1].
        mixup, cutmix: alpha of the Beta distribution; 0: none. With both, a batch gets one of them.
        optimizer: takes parameter groups, returns an optimizer.
        scheduler: takes the optimizer, returns a schedule; None for a constant learning rate.
        scheduler_interval: ``auto``, ``step`` or ``epoch`` (see ``build_schedule``).

    Attributes:
        head_names: names of the layers that make the logits.
        head_only: only they train.
        reduced: with ``head_only``, training images pass the frozen backbone in bfloat16; those of evaluation
            don't, so that its numbers are those of the model as it is served. Set after building.
        network: the module whose ``state_dict`` is the model artifact.
        weights_: what really initialised the network, as run.json's ``weights`` holds it.
        channels_last: images are brought into that memory layout first; set after building.
        confusion: the last computed confusion matrix of ``valid`` and ``test``: int64 [C, C] on the
            CPU, rows are labels, columns predictions.

    Raises:
        ConfigError: a setting is wrong, or weights that were asked for can't be had.
    """

    def __init__(
        self,
        *,
        name: str,
        num_classes: int,
        optimizer: functools.partial[Optimizer],
        scheduler: functools.partial[Any] | None = None,
        library: str = "torchvision",
        weights: str | None = "auto",
        weights_timeout_s: float = 10.0,
        finetune: str = "full",
        blocks: int = 3,
        head_epochs: int = 1,
        backbone_lr: float = 0.1,
        dropout: float | None = None,
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        scheduler_interval: str = "auto",
    ) -> None:
        super().__init__()
        check_settings(
            num_classes=num_classes, finetune=finetune, dropout=dropout, smoothing=label_smoothing,
            backbone_lr=backbone_lr, head_epochs=head_epochs, mixup=mixup, cutmix=cutmix,
            interval=scheduler_interval,
        )  # fmt: skip
        self._architecture = {
            "library": library,
            "name": name,
            "num_classes": num_classes,
            "dropout": dropout,
        }
        self.network, self.weights_ = initialised_network(
            self._architecture, weights, timeout_s=weights_timeout_s
        )
        self.head_names = head_names(self.network)
        self._image_size = only_image_size(self.network)
        self.finetune, self.blocks = finetune, blocks
        self.head_only = finetune == "head"
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._scheduler_interval = scheduler_interval
        self.label_smoothing = label_smoothing
        self.mixing = Mixing(num_classes, mixup=mixup, cutmix=cutmix)
        self.channels_last = False
        self.reduced = False
        self.train_scores = EpochScores(num_classes)
        self.valid_scores = EpochScores(num_classes)
        self.test_scores = EpochScores(num_classes)
        self.valid_confusion = MulticlassConfusionMatrix(num_classes, validate_args=False)
        self.test_confusion = MulticlassConfusionMatrix(num_classes, validate_args=False)
        self.confusion: dict[str, Tensor] = {}
        self._backbone: Backbone | None = None
        if self.weights_.get("head", "new" if finetune == "head" else "kept") == "new":
            reset_heads(self.network, self.head_names)
        self._head_epochs = head_epochs if finetune == "gradual" else 0
        self._backbone_lr = backbone_lr if finetune == "gradual" else 1.0
        self._freezing = Freezing(
            self.network, self.head_names, finetune, blocks=blocks, head_epochs=head_epochs
        )
        self._epoch = 0  # whose parts train
        self._freezing.apply(0)
        self.train()  # Lightning starts training in the mode that it finds

    @staticmethod
    def arguments_before_checkpoint(settings: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments to change where a checkpoint replaces every weight at once: nothing is fetched.

        Args:
            settings: the other arguments.
        """
        vit = settings.get("library") == "torchvision" and str(settings.get("name")).startswith("vit_")
        # the shape of these follows from their weights: some were published for images of another size
        return {} if vit else {"weights": "none"}

    def architecture(self) -> dict[str, Any]:
        """What ``build_network`` needs to build the same network again."""
        return dict(self._architecture)

    def heads(self) -> list[nn.Module]:
        """The layers that make the logits; all that trains with ``finetune=head``."""
        return [self.network.get_submodule(name) for name in self.head_names]

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, C] of normalised float images [B, 3, H, W], or of their features [B, D].

        Raises:
            ConfigError: the network takes one image size only, and it is another one.
        """
        if images.ndim == 2:  # of a frozen backbone, computed before: see sweepmaker.run.features
            return self.heads()[0](images)  # type: ignore[no-any-return]
        images = self._prepared(images)
        if self.reduced and self.training:
            return self.heads()[0](self.features(images, training=True))  # type: ignore[no-any-return]
        logits: Tensor = self.network(images)
        return logits

    def features(self, images: Tensor, *, training: bool) -> Tensor:
        """What the head is given of normalised images [B, 3, H, W]: float [B, D], without gradients.

        Args:
            images: float.
            training: they are training images, which ``reduced`` is about.

        Raises:
            NotSeparable: the head takes other than one vector an image.
        """
        if self._backbone is None:
            self._backbone = Backbone(self.network, *self.head_names)
        images = self._prepared(images)
        if not (self.reduced and training):
            return self._backbone(images)
        with torch.autocast(images.device.type, torch.bfloat16):
            features = self._backbone(images)
        return features.float()

    def _prepared(self, images: Tensor) -> Tensor:
        if self._image_size not in (None, images.shape[-1]):
            raise ConfigError(
                f"{self._architecture['name']} takes {self._image_size} px, got {images.shape[-1]}",
                key="image_size",
                allowed=f"{self._image_size} with this network",
                fix=f"image_size={self._image_size}",
            )
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return images

    def train(self, mode: bool = True) -> Classifier:
        """As ever, except that what is frozen stays in eval mode."""
        super().train(mode)
        if mode:
            self._freezing.set_modes(self._epoch)
        return self

    def on_fit_start(self) -> None:
        """Raises ConfigError where ``gradual`` cannot do what it is for."""
        if self._head_epochs:
            check_gradual(self.trainer, self._head_epochs)
        # what is frozen is meant to be
        warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")

    def on_train_epoch_start(self) -> None:
        """Let train what trains in this epoch."""
        self._enter(self.current_epoch)

    on_train_start = on_train_epoch_start  # a continued run may begin in the middle of one

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Loss of one batch (images [B, 3, H, W], labels int64 [B])."""
        images, labels = batch
        targets = labels
        if self.mixing:
            images, targets = self.mixing(images, labels, self.current_epoch, batch_idx, self.global_rank)
        logits = self(images)
        loss = functional.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        self.train_scores.add(logits, labels, loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Score one validation batch."""
        self._score(batch, self.valid_scores, self.valid_confusion)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Score one test batch; its logits [B, C] are for callbacks."""
        return self._score(batch, self.test_scores, self.test_confusion)

    def on_train_epoch_end(self) -> None:
        """Log the training scores and the learning rate as it is now."""
        self._log_scores("train", self.train_scores)
        self.log("lr", self.trainer.optimizers[0].param_groups[0]["lr"], sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Log the validation scores and keep the confusion matrix."""
        self._log_scores("valid", self.valid_scores)
        self._keep_confusion("valid", self.valid_confusion)

    def on_test_epoch_end(self) -> None:
        """Log the test scores and keep the confusion matrix."""
        self._log_scores("test", self.test_scores)
        self._keep_confusion("test", self.test_confusion)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The configured optimizer over what trains, and its schedule."""
        heads = self.head_names if self.finetune == "gradual" else ()
        groups = parameter_groups(self.network, heads, self._backbone_lr)
        optimizer = build_optimizer(self._optimizer, groups)
        if self._scheduler is None:
            return optimizer
        schedule = build_schedule(self._scheduler, optimizer, self.trainer, self._scheduler_interval)
        return {"optimizer": optimizer, "lr_scheduler": schedule}  # type: ignore[return-value]

    def frozen_names(self) -> list[str]:
        """Names in the state dict of what never changes in this run: see ``sweepmaker.models.frozen``."""
        return [f"network.{name}" for name in self._freezing.frozen_names()]

    def _enter(self, epoch: int) -> None:
        changes = self._freezing.is_partial(epoch) != self._freezing.is_partial(self._epoch)
        self._epoch = epoch
        if changes:
            self._freezing.apply(epoch)
            self.train()

    def _score(
        self, batch: tuple[Tensor, Tensor], scores: EpochScores, confusion: MulticlassConfusionMatrix
    ) -> Tensor:
        images, labels = batch
        logits: Tensor = self(images)
        scores.add(logits, labels, functional.cross_entropy(logits, labels))
        confusion.update(logits, labels)
        return logits

    def _log_scores(self, split: str, scores: EpochScores) -> None:
        # Every process has the same values (torchmetrics sums over them first); sync_dist only
        # tells Lightning so.
        values = {f"{split}/{name}": value for name, value in scores.compute().items()}
        self.log_dict(values, sync_dist=True)
        scores.reset()

    def _keep_confusion(self, split: str, matrix: MulticlassConfusionMatrix) -> None:
        self.confusion[split] = matrix.compute().cpu()
        matrix.reset()
