"""dulwich as a client: clone URL FOLDER, push FOLDER URL; as a server: serve ROOT PORT."""

import sys
from wsgiref.simple_server import make_server

from dulwich import porcelain
from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import WSGIRequestHandlerLogger, WSGIServerLogger, make_wsgi_chain

verb, one, two = sys.argv[1:]
if verb == "clone":
    porcelain.clone(one, two, errstream=porcelain.NoneStream()).close()
elif verb == "push":
    with Repo(one) as repository:
        porcelain.push(repository, two, ["refs/heads/main"], errstream=porcelain.NoneStream())
else:
    application = make_wsgi_chain(DictBackend({"/repo.git": Repo(f"{one}/repo.git")}))
    handler, server = WSGIRequestHandlerLogger, WSGIServerLogger
    make_server("127.0.0.1", int(two), application, server, handler).serve_forever()
