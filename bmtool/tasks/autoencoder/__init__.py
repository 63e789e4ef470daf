"""Images to a short code and back: learning from images without labels."""
