"""A SageMaker that does as it is told: boto3 talks to it over HTTP, tests say how its jobs go on."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.jobs.aws import ACCOUNT, BUCKET, REGION

BEGIN = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC).timestamp()
_ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
METRIC = "valid/top1_best"


class Refused(Exception):
    """Answered as an error of the service."""

    def __init__(self, code: str, message: str = "no", status: int = 400) -> None:
        super().__init__(code)
        self.body = {"__type": code, "message": message}
        self.status = status


class Dropped(Exception):
    """The connection is closed without an answer."""


class Service:
    """One tuning job and its trials; ``next`` is called before each look at the job.

    Args:
        name: of the tuning job.
    """

    def __init__(self, name: str = "sweep-1") -> None:
        self.name = name
        self.status = "InProgress"
        self.trials: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.steps: list[Callable[[], object]] = []
        self.faults: list[Exception] = []
        self.page = 100
        self.reason = ""
        self._lock = threading.Lock()

    def trial(self, number: int, status: str = "InProgress", value: float | None = None, **more: Any) -> str:
        """Add a trial, or change it; its name."""
        name = f"{self.name}-{number:03d}-{number:08x}"
        tuned = {"lr": f"0.0{number}", "batch_size": "8"}
        found = {"name": name, "status": status, "value": value, "number": number, "tuned": tuned, **more}
        self.trials = [one for one in self.trials if one["name"] != name] + [found]
        return name

    def then(self, *steps: Callable[[], object]) -> None:
        """What happens before the next looks, one step each."""
        self.steps += steps

    def answer(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            self.calls.append(operation)
            if self.faults:
                raise self.faults.pop(0)
            answer: dict[str, Any] = getattr(self, f"_{operation}")(body)
            return answer

    def _CreateHyperParameterTuningJob(self, body: dict[str, Any]) -> dict[str, Any]:
        self.name = body["HyperParameterTuningJobName"]
        return {"HyperParameterTuningJobArn": f"{_ARN}:hyper-parameter-tuning-job/{self.name}"}

    def _DescribeHyperParameterTuningJob(self, body: dict[str, Any]) -> dict[str, Any]:
        self._check(body["HyperParameterTuningJobName"])
        if self.steps:
            self.steps.pop(0)()
        good = [
            one
            for one in self.trials
            if one["value"] is not None and one["status"] in ("Completed", "Stopped")
        ]
        best = max(good, key=lambda one: one["value"], default=None)
        return {
            "HyperParameterTuningJobName": self.name,
            "HyperParameterTuningJobArn": f"{_ARN}:hyper-parameter-tuning-job/{self.name}",
            "HyperParameterTuningJobConfig": {
                "Strategy": "Random",
                "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": METRIC},
                "ResourceLimits": {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 2},
            },
            "TrainingJobDefinition": {
                "StaticHyperParameters": {},
                "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/sweepmaker/jobs/"},
            },
            "HyperParameterTuningJobStatus": self.status,
            "CreationTime": BEGIN,
            "TrainingJobStatusCounters": {"Completed": len(self.trials)},
            "ObjectiveStatusCounters": {},
            "FailureReason": self.reason,
            **({"BestTrainingJob": self._summary(best)} if best else {}),
        }

    def _ListTrainingJobsForHyperParameterTuningJob(self, body: dict[str, Any]) -> dict[str, Any]:
        begin = int(body.get("NextToken", 0))
        end = begin + min(self.page, body["MaxResults"])
        more = {"NextToken": str(end)} if end < len(self.trials) else {}
        return {"TrainingJobSummaries": [self._summary(one) for one in self.trials[begin:end]], **more}

    def _DescribeTrainingJob(self, body: dict[str, Any]) -> dict[str, Any]:
        name = body["TrainingJobName"]
        one = next((one for one in self.trials if one["name"] == name), None)
        if one is None:
            raise Refused("ResourceNotFound", "Requested resource not found.")
        if name == self.name and self.steps:
            self.steps.pop(0)()
            one = next(one for one in self.trials if one["name"] == name)
        shown = self._summary(one)
        final = (
            [{"MetricName": METRIC, "Value": one["value"], "Timestamp": BEGIN}]
            if one["value"] is not None
            else []
        )
        return {
            "TrainingJobName": name,
            "TrainingJobArn": shown["TrainingJobArn"],
            "ModelArtifacts": {"S3ModelArtifacts": ""},
            "TrainingJobStatus": one["status"],
            "SecondaryStatus": one.get("phase", "Training"),
            "AlgorithmSpecification": {
                "TrainingInputMode": "File", "MetricDefinitions": [{"Name": METRIC, "Regex": "x=(.*)"}],
            },
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/sweepmaker/jobs/"},
            "StoppingCondition": {},
            "FinalMetricDataList": final,
            **{key: shown[key] for key in shown if key.endswith("Time")},
            **({"FailureReason": one["reason"]} if "reason" in one else {}),
        }  # fmt: skip

    def _StopHyperParameterTuningJob(self, body: dict[str, Any]) -> dict[str, Any]:
        self._check(body["HyperParameterTuningJobName"])
        self.status = "Stopping"
        return {}

    def _ListHyperParameterTuningJobs(self, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._DescribeHyperParameterTuningJob({"HyperParameterTuningJobName": self.name})
        config = answer.pop("HyperParameterTuningJobConfig")
        return {
            "HyperParameterTuningJobSummaries": [
                {**answer, "Strategy": config["Strategy"], "ResourceLimits": config["ResourceLimits"]}
            ]
        }

    def _ListTrainingJobs(self, body: dict[str, Any]) -> dict[str, Any]:
        names = [one["name"] for one in self.trials] + ["alone-260301-120000-abcdef"]
        return {
            "TrainingJobSummaries": [
                {
                    "TrainingJobName": name,
                    "TrainingJobArn": f"{_ARN}:training-job/{name}",
                    "CreationTime": BEGIN,
                    "TrainingJobStatus": "Completed",
                }
                for name in names
            ]
        }

    def _check(self, name: str) -> None:
        if name != self.name or not self.status:
            raise Refused(
                "ResourceNotFound", f"Amazon SageMaker can't find a tuning job with the name {name}."
            )

    def _summary(self, one: dict[str, Any]) -> dict[str, Any]:
        ended = one["status"] in ("Completed", "Failed", "Stopped")
        objective = {"Type": "Maximize", "MetricName": METRIC, "Value": one["value"]}
        return {
            "TrainingJobName": one["name"],
            "TrainingJobArn": f"{_ARN}:training-job/{one['name']}",
            "CreationTime": BEGIN + one["number"],
            "TrainingStartTime": BEGIN + one["number"] + 5,
            **({"TrainingEndTime": BEGIN + one["number"] + 65} if ended else {}),
            "TrainingJobStatus": one["status"],
            "TunedHyperParameters": one["tuned"],
            **(
                {"FinalHyperParameterTuningJobObjectiveMetric": objective} if one["value"] is not None else {}
            ),
            **({"FailureReason": one["reason"]} if "reason" in one else {}),
        }


@contextmanager
def serving(service: Service) -> Iterator[str]:
    """The service's address, while it listens."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet, or each answer waits 40 ms for an acknowledgement

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            operation = self.headers["X-Amz-Target"].partition(".")[2]
            try:
                answer, status = service.answer(operation, body), 200
            except Refused as refused:
                answer, status = refused.body, refused.status
            except Dropped:
                self.close_connection = True
                return
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass  # a client that was interrupted

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
