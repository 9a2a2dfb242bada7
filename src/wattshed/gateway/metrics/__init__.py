"""Numbers that are counted here and read by Prometheus."""
