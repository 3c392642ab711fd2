"""The root worker's state directory: records, confirmed revision, boot files, outbox, and their backup."""
