"""Where a request goes and what it costs there."""
