"""SageMaker's operations, as far as this server has them."""
