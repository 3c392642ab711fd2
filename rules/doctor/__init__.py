"""What is wrong with an installation, worked out from facts that others gathered: values in, findings out."""
