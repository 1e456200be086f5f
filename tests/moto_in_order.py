"""Moto's S3 server, which answers one request at a time: only so is it as indivisible as a real store.

It runs where moto is installed, `python moto_in_order.py LOG`, prints its port and writes each request
to LOG.
"""

import sys

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class Silent(WSGIRequestHandler):
    """Says nothing of requests."""

    def log_request(self, *args: object) -> None:
        pass


def main() -> None:
    moto = DomainDispatcherApplication(create_backend_app)
    with open(sys.argv[1], "a", buffering=1) as log:

        def app(environ, start_response):  # type: ignore[no-untyped-def]
            query = environ.get("QUERY_STRING", "")
            method = "LIST" if "list-type" in query else environ["REQUEST_METHOD"]
            log.write(f"{method} {environ['PATH_INFO']}\n")
            return moto(environ, start_response)

        server = make_server("127.0.0.1", 0, app, request_handler=Silent)
        print(server.port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
