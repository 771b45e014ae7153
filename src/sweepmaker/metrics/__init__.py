"""What is measured: torchmetrics collections, the metric line and its regex, the confusion matrix."""
