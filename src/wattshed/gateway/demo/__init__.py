"""A fleet to try the gateway on, without hardware."""
