"""What runs came to: paired statistics, tables, figures, reports, tidy frames."""
