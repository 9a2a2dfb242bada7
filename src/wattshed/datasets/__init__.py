"""Readers and writers of profiles, workloads, fleets, and the data that ships with the package."""
