"""What lets a held event go: gathered, aligned, saved and un-held, subscribers told."""
