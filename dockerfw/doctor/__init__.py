"""The checks of `doctor`, each beside the facts it needs."""
