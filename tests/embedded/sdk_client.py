"""What a user of the SageMaker SDK, version 3, writes; run by a process of its own."""

import sys
from pathlib import Path

from sagemaker.core.helper.session_helper import Session
from sagemaker.core.parameter import ContinuousParameter
from sagemaker.core.training.configs import Compute, OutputDataConfig, SourceCode, StoppingCondition
from sagemaker.train.model_trainer import ModelTrainer
from sagemaker.train.tuner import HyperparameterTuner

what, folder, role = sys.argv[1:]
IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch:2"


def trainer(**more):
    session = Session(default_bucket="sweepmaker")
    return ModelTrainer(
        sagemaker_session=session,
        role=role,
        training_image=IMAGE,
        source_code=SourceCode(source_dir=str(Path(folder)), entry_script="train.py"),
        compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=30),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=600),
        output_data_config=OutputDataConfig(s3_output_path="s3://sweepmaker/jobs/"),
        hyperparameters={"pause": 0, "epochs": 3},
        base_job_name="sdk",
        **more,
    )


if what == "tuner":
    tuner = HyperparameterTuner(
        trainer(),
        "score",
        {"rate": ContinuousParameter(0.1, 1.0, "Linear")},
        metric_definitions=[{"Name": "score", "Regex": r"\[metric\] score=([-+.0-9e]+) "}],
        max_jobs=3,
        max_parallel_jobs=2,
        strategy="Random",
        base_tuning_job_name="sdk",
    )
    tuner.tune(wait=True)
    frame = tuner.analytics().dataframe()
    print("STATUS", tuner.describe().hyper_parameter_tuning_job_status)
    print("BEST", tuner.best_training_job())
    for name, rate, value in zip(
        frame["TrainingJobName"], frame["rate"], frame["FinalObjectiveValue"], strict=True
    ):
        print("TRIAL", name, rate, value)
else:
    made = trainer()
    made.hyperparameters = {"pause": 0, "epochs": 3, "rate": 0.5}
    made.train(wait=True, logs=False)
    job = made._latest_training_job
    job.refresh()
    print("STATUS", job.training_job_status, job.model_artifacts.s3_model_artifacts)
