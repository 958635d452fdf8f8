"""Speech activity: Silero's detector on recordings of any length, asked over OIP with httpx."""
