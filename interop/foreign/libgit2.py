"""libgit2 (pygit2) as a client: clone URL FOLDER, push FOLDER URL."""

import sys

import pygit2

verb, one, two = sys.argv[1:]
if verb == "clone":
    pygit2.clone_repository(one, two)
else:
    remote = pygit2.Repository(one).remotes.create_anonymous(two)
    remote.push(["refs/heads/main:refs/heads/main"])
