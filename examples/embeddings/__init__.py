"""Semantic search: all-MiniLM-L6-v2 behind `/v1/embeddings`, asked with the `openai` library."""
