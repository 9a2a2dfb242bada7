"""Offline planning: evaluate, sweep, front, audit."""
