"""The admin API: what a running router can be asked and told, over HTTP on a Unix socket.

server      listeners: the admin socket and the optional TCP one; start and end
connection  one HTTP/1.1 connection, by h11, with its limits
call        what a handler is given
endpoints   the table of everything that can be asked: dispatch, OpenAPI and 405 come from it
schema      what bodies and answers are made of
reading     show, one route, settings        changing    add, remove, set, move
streaming   captures, pings, events          metrics     Prometheus text
openapi     the table as a document          errors      exceptions as {error, message}
filter      the language of captures         (vrouter/pcapng.py: their format)
"""
