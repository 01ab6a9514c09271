"""What all hunts share: domain limits, queues, sources, tried URLs, the naughty list."""
