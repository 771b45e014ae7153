"""What a user of the SageMaker SDK, version 3, writes to ask an endpoint; run by a process of its own."""

import base64
import sys
from pathlib import Path

from sagemaker.core.resources import Endpoint

name, path = sys.argv[1:]
image = Path(path).read_bytes()

endpoint = Endpoint.get(endpoint_name=name)
print("STATUS", endpoint.endpoint_status)
answer = endpoint.invoke(body=image, content_type="image/jpeg", accept="text/plain")
print("IMAGE", int(answer.body.read()))
answer = endpoint.invoke(body=base64.b64encode(image), content_type="application/octet-stream")
print("BASE64", int(answer.body.read()))
