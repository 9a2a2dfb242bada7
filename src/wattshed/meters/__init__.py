"""Meters: what counts joules, from raw bytes with clocks to energy by channel with its uncertainty or its reason."""
