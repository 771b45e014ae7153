"""The network for TorchServe's ``--model-file``, which has to hold one class alone."""

import torchvision


class Network(torchvision.models.EfficientNet):
    """EfficientNet-B2 with 133 classes."""

    def __init__(self) -> None:
        made = torchvision.models.efficientnet_b2(num_classes=133)
        super(torchvision.models.EfficientNet, self).__init__()
        self.features, self.avgpool, self.classifier = made.features, made.avgpool, made.classifier
