"""What `gateway.yaml` says, and the keys of clients."""
