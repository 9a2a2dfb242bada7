"""What the gateway tells of itself: metrics, dashboard, traces, logs, and an alarm for drift."""
