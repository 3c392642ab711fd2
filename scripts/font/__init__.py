"""Make the font of the pages from the Inter of PyPI."""
