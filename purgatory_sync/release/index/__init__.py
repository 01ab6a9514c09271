"""What is served where: repositories, read model, what is missing, locks."""
