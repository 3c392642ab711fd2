"""A document compiled for the kernel and read back: render, plan, drift, import, adopt, boot text, undo."""
