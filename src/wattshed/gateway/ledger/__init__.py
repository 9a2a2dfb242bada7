"""A row a request, kept in SQLite or PostgreSQL, and predictors fitted from it again."""
