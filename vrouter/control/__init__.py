"""The admin API: what a running router can be asked and told, over HTTP on a Unix socket.

server      listeners: the admin socket and the optional TCP one; start and end
connection  one HTTP/1.1 connection, by h11, with its limits
call        what a handler is given
endpoints   the table of everything that can be asked, made of what `endpoint` says that one is
dispatch    from a request to its endpoint; 405 and OpenAPI come from the table too
bodies      what requests are made of        schema      what answers are made of
reading     show, one route, settings        changing    namespaces, settings, ping
links       devices, bridges, VLANs          addressing  addresses, neighbours, advertisements
routing     routes, rules, groups
streaming   captures, pings, events, many rows           metrics     Prometheus text
openapi     the table as a document          errors      exceptions as {error, message}
filter      the language of captures         (vrouter/pcapng.py: their format)
"""
