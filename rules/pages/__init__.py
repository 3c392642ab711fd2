"""What all pages share: the frame, form fields, words, hosts."""
