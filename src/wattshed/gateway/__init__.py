"""The gateway: places each request on the system where it costs least, and proves it."""
