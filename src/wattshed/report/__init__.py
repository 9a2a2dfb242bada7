"""What people look at: tables, figures and the self-contained HTML page."""
