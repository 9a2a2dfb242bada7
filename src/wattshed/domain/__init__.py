"""Frozen values of the problem: queries, systems, measurements, costs, plans. NumPy only, no input or output."""
