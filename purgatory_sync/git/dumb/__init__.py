"""The dumb HTTP protocol: a repository as files of a web server."""
