"""The document of what an admin wants: its validator, digest, differences and words."""
