"""The documentation inside the dashboard: its pages, their search, and the help of each page."""
