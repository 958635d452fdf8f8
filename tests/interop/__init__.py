"""What other people's implementations make of ours."""
