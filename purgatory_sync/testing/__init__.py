"""What embedders and we test with: event builders, scripted worlds, real servers."""
