"""The AWS services of an embedded SageMaker: one signed, loopback-only endpoint for all of them."""
