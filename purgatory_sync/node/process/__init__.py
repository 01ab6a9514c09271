"""What concerns the process: its key, its memory, its open files."""
