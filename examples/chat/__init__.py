"""Chat with a small decoder that is written, trained and run on the spot."""
