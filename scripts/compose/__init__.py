"""What runs in the image beside dockerfw itself: the first settings, and whether the pages answer."""
