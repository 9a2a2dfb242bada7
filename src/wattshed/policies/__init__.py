"""Policies: pure scoring functions that say which system a query joins."""
