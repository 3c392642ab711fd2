"""What an admin wants: the document, its validator, digest, differences and words."""
