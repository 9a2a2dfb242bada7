"""Queues and batches in virtual time: what a plan meets when requests arrive, wait, share steps, fail and sleep."""
