"""LitServe: ``same`` with our own handler's functions, ``default`` as its documentation has it.

python litserve_server.py same|default PORT WORKERS
"""

import base64
import io
import os
import sys
from typing import Any

import litserve

SIZE = 260


class Same(litserve.LitAPI):
    """The same reading, the same engine, another server."""

    def setup(self, device: str) -> None:
        from sweepmaker.serving import inference

        self.handler = inference
        self.model = inference.model_fn(os.environ["SERVING_MODEL_DIR"])

    def decode_request(self, request: dict[str, Any]) -> bytes:
        return base64.b64decode(request["image"])

    def predict(self, image: bytes) -> Any:
        return self.handler.predict_fn(self.handler.input_fn(image, "image/jpeg"), self.model)

    def encode_response(self, output: Any) -> Any:
        return output.rows()[0]


class Default(litserve.LitAPI):
    """Pillow, torchvision's transforms, the eager model."""

    def setup(self, device: str) -> None:
        import torch
        from torchvision import models, transforms

        self.transform = transforms.Compose(
            [
                transforms.Resize(SIZE, interpolation=transforms.InterpolationMode.BICUBIC),
                transforms.CenterCrop(SIZE),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )
        self.model = models.efficientnet_b2(num_classes=133)
        self.model.load_state_dict(torch.load(os.environ["SERVING_WEIGHTS"], weights_only=True))
        self.model.to(device).eval()

    def decode_request(self, request: dict[str, Any]) -> bytes:
        return base64.b64decode(request["image"])

    def predict(self, image: bytes) -> Any:
        import torch
        from PIL import Image

        pixels = self.transform(Image.open(io.BytesIO(image)).convert("RGB")).unsqueeze(0)
        with torch.inference_mode():
            return torch.softmax(self.model(pixels.to(self.device)), dim=1)[0].topk(5)

    def encode_response(self, output: Any) -> dict[str, Any]:
        values, places = output.values.tolist(), output.indices.tolist()
        return {
            "class": places[0],
            "probability": values[0],
            "top": list(zip(places, values, strict=True)),
        }


if __name__ == "__main__":
    kind, port, workers = sys.argv[1:]
    api = {"same": Same, "default": Default}[kind](api_path="/invocations")
    options = {"workers_per_device": int(workers)} if workers != "default" else {}
    litserve.LitServer(api, **options).run(host="127.0.0.1", port=int(port), generate_client_file=False)
