"""What the files in scripts/ need beyond a few lines of shell. No part of the product imports it."""
