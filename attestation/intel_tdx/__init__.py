"""Intel Trust Domain Extensions: quotes of version 4 and 5."""
