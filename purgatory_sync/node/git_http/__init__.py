"""Git over HTTP: clones, fetches and pushes."""
