"""Predictors of the energy and runtime of a query, fitted from measured trials."""
