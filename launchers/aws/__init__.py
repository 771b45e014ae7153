"""An account of AWS, or what stands for it on this machine: clients, S3, images, refusals as messages."""
