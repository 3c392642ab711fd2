"""The checks of `dockerfw doctor`. Each check stands in one file, and `NAME_facts.py` gathers its facts."""
