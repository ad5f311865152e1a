"""What operators see: the access log, health and metrics."""
