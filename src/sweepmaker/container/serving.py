"""``python -m sweepmaker.container serve``: what a SageMaker endpoint starts; it answers on port 8080."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.container.folders import Folders


def serve(folders: Folders, environment: Mapping[str, str]) -> int:
    """Serve the model folder until SIGTERM; the exit code, 0 then.

    In a container every interface is listened on, since requests come from outside of it. Where
    SAGEMAKER_BASE_DIR says where the tree is, there is no container, and only this machine is answered.
    SAGEMAKER_BIND_TO_PORT, SAGEMAKER_MODEL_SERVER_WORKERS and others count as in AWS's own images.
    """
    from sweepmaker.serving import server  # a trial has no need of it
    from sweepmaker.serving.server.settings import Settings

    host = "127.0.0.1" if environment.get("SAGEMAKER_BASE_DIR") else "0.0.0.0"
    try:
        if not folders.model.is_dir():
            raise ConfigError(f"{folders.model} is missing: the endpoint's model brings no artifact")
        server.run(Settings.read(["--model-dir", str(folders.model), "--host", host], environment))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0
