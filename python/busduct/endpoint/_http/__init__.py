"""HTTP/1.1 to one endpoint: requests in order over a pool of connections."""
