"""What the rules of all kinds share: facts, limits, hosting, references, verdicts."""
