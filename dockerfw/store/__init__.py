"""The state directory: records, confirmed revision, boot files, outbox, and its backup."""
