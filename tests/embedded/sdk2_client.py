"""What the founding program does, with the SageMaker SDK's second version; run by a process of its own."""

import base64
import sys
from pathlib import Path

from sagemaker.deserializers import BytesDeserializer, JSONDeserializer
from sagemaker.predictor import Predictor
from sagemaker.pytorch import PyTorchPredictor
from sagemaker.serializers import IdentitySerializer, JSONSerializer

endpoint_name, path = sys.argv[1:]
image_bytes = Path(path).read_bytes()
base64_bytes = base64.b64encode(image_bytes)

# as it stands in the founding README
predictor = Predictor(endpoint_name=endpoint_name)
response = predictor.predict(base64_bytes)
print("BASE64", int(response))


class ImagePredictor(Predictor):
    """As many notebooks have it: the image itself, under its content type."""

    def __init__(self, endpoint_name, sagemaker_session=None):
        super().__init__(
            endpoint_name,
            sagemaker_session=sagemaker_session,
            serializer=IdentitySerializer(content_type="image/jpeg"),
        )


print("IMAGE", int(ImagePredictor(endpoint_name).predict(image_bytes, initial_args={"Accept": "text/plain"})))
text = PyTorchPredictor(
    endpoint_name, serializer=IdentitySerializer("text/plain"), deserializer=BytesDeserializer("text/plain")
)
print("TEXT", int(text.predict(base64_bytes)))
as_json = Predictor(endpoint_name, serializer=JSONSerializer(), deserializer=JSONDeserializer())
print("JSON", as_json.predict({"image": base64_bytes.decode()})["class"])
