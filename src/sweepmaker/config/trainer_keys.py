"""Keys of the trainer node: Lightning's arguments (a test holds the lists equal) and three of ours."""

TRAINER_KEYS = (
    "_target_", "threads", "memory_format", "compile", "accelerator", "strategy", "devices", "num_nodes",
    "precision", "logger", "callbacks", "fast_dev_run", "max_epochs", "min_epochs", "max_steps",
    "min_steps", "max_time", "limit_train_batches", "limit_val_batches", "limit_test_batches",
    "limit_predict_batches", "overfit_batches", "val_check_interval", "check_val_every_n_epoch",
    "num_sanity_val_steps", "log_every_n_steps", "enable_checkpointing", "enable_progress_bar",
    "enable_model_summary", "accumulate_grad_batches", "gradient_clip_val",
    "gradient_clip_algorithm", "deterministic", "benchmark", "inference_mode",
    "use_distributed_sampler", "profiler", "detect_anomaly", "barebones", "plugins",
    "sync_batchnorm", "reload_dataloaders_every_n_epochs", "default_root_dir",
    "enable_autolog_hparams", "model_registry",
)  # fmt: skip

# what Lightning takes for ``precision``
PRECISIONS = (
    "32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true", "transformer-engine",
    "transformer-engine-float16", "bf16", "16", "32", "64", 16, 32, 64,
)  # fmt: skip
