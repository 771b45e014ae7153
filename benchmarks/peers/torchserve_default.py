"""TorchServe as its documentation has it: a ``BaseHandler``, an eager model, Pillow, torchvision."""

import base64
import io
from typing import Any

import torch
from PIL import Image
from torchvision import transforms
from ts.torch_handler.base_handler import BaseHandler

SIZE = 260


class Classifier(BaseHandler):
    """Reads an image, leaves the rest to the base class."""

    image_processing = transforms.Compose(
        [
            transforms.Resize(SIZE, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(SIZE),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )

    def preprocess(self, data: list[dict[str, Any]]) -> torch.Tensor:
        """The batch of a request."""
        opened = [
            Image.open(io.BytesIO(base64.b64decode(row["body"]["image"]))).convert("RGB") for row in data
        ]
        return torch.stack([self.image_processing(image) for image in opened]).to(self.device)

    def postprocess(self, data: torch.Tensor) -> list[dict[str, Any]]:
        """One answer for each image."""
        values, places = torch.softmax(data, dim=1).topk(5, dim=1)
        return [
            {"class": place[0], "probability": value[0], "top": list(zip(place, value, strict=True))}
            for value, place in zip(values.tolist(), places.tolist(), strict=True)
        ]
