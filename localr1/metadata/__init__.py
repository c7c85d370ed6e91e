"""Models known from a log, a page or by name only: their headers, drawn from what is printed."""
