"""What a user of the SageMaker SDK, version 3, writes to ask an endpoint; run by a process of its own."""

import base64
import sys
from pathlib import Path

from sagemaker.core.resources import Endpoint, EndpointConfig, Model
from sagemaker.core.shapes import ContainerDefinition, ProductionVariant

name, path = sys.argv[1:]
image = Path(path).read_bytes()

endpoint = Endpoint.get(endpoint_name=name)
print("STATUS", endpoint.endpoint_status)
answer = endpoint.invoke(body=image, content_type="image/jpeg", accept="text/plain")
print("IMAGE", int(answer.body.read()))
answer = endpoint.invoke(body=base64.b64encode(image), content_type="application/octet-stream")
print("BASE64", int(answer.body.read()))

# what else of it reads our answers: the SDK is strict about their shapes
first = Model.get(model_name=name)
container = ContainerDefinition(image="mine", model_data_url=first.primary_container.model_data_url)
model = Model.create(
    model_name="again", primary_container=container, execution_role_arn=first.execution_role_arn
)
variant = ProductionVariant(
    variant_name="v", model_name="again", instance_type="ml.m5.large", initial_instance_count=1
)
config = EndpointConfig.create(endpoint_config_name="again", production_variants=[variant])
print("MADE", *sorted(found.model_name for found in Model.get_all()))
config.delete()
model.delete()
print("LEFT", *(found.model_name for found in Model.get_all()))
