"""Every byte of HTTP that the client speaks: Studio, storage, sockets."""
