"""The only code that runs commands and reads this machine."""
